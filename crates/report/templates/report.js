// The report's own page: its data stand in it, and its address says where one is.
(async () => {
  const source = byId('data').textContent;
  const of = source.startsWith('{') ? JSON.parse(source) : await unpacked(source);
  function place() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const [at, va] = [wanted.get('call'), wanted.get('va')], number = Number(at), address = va && parseAddress(va);
    const wrong = [];
    if (at !== null && !isCall(number)) wrong.push(`There is no call ${at}: the last is ${data.calls.length}.`);
    if (va !== null && address === null) wrong.push(`${va} is no address.`);
    return { address, call: at !== null && isCall(number) ? number : null, wrong };
  }
  hooks.moved = () => {
    const va = focus === null || !pinned ? '' : `&va=0x${focus.toString(16)}`;
    history.replaceState(null, '', `#call=${call}${va}`);
  };
  open(of, place);
  window.addEventListener('hashchange', () => {
    const wanted = place();
    note(wanted.wrong);
    if (wanted.call !== null) goTo(wanted.call);
    if (wanted.address !== null) look(wanted.address, true);
  });
})();
