// The report's own page: its data stand in it, and its address says where one is.
(async () => {
  const source = byId('data').textContent;
  const of = source.startsWith('{') ? JSON.parse(source) : await unpacked(source);
  function place() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const number = Number.parseInt(wanted.get('call'), 10);
    return { address: wanted.get('va') && parseAddress(wanted.get('va')), call: Number.isFinite(number) ? number : null };
  }
  hooks.moved = () => {
    const va = focus === null || !pinned ? '' : `&va=0x${focus.toString(16)}`;
    history.replaceState(null, '', `#call=${call}${va}`);
  };
  open(of, place());
  window.addEventListener('hashchange', () => {
    const wanted = place();
    if (wanted.call !== null) goTo(wanted.call);
    if (wanted.address !== null) look(wanted.address, true);
  });
})();
