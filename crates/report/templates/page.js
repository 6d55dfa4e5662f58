// The page: where one is, and how one moves.

function drawHeader() {
  const [line, pid, text] = data.calls[call - 1];
  const who = pid === 1 ? '' : `[pid ${pid}] `;
  const results = new Map();
  let wrong = false;
  for (const machine of machines) {
    const step = machine.steps[call - 1];
    if (!results.has(step.o)) results.set(step.o, []);
    results.get(step.o).push(machineName(machine));
    wrong = wrong || step.x;
  }
  const same = results.size === 1;
  const result = [...results].map(([o, who]) => `${data.texts[o]}${same ? '' : ` (${who.join(', ')})`}`).join(', ');
  byId('call').replaceChildren(`${call}. ${who}${data.texts[text]} `, element('span', { class: wrong ? 'wrong' : 'result' }, `= ${result}`), ` `,
    element('small', {}, `line ${line}${wrong ? ', not as expected' : ''}`));
  byId('slider').value = call;
  byId('slider').setAttribute('aria-valuetext', `${call}: ${data.texts[text]}`);
  byId('number').value = call;
  const course = courses[focusMachine], machine = course.machine;
  const vmas = course.vmas.get(space) || [], touched = shownVmas(course), changed = changedVmas(course);
  const shown = touched.slice(0, 400).map((vma) => {
    const button = element('button', { type: 'button', class: changed.has(vmas.indexOf(vma)) ? 'changed' : '' }, vmaText(machine, vma));
    button.onclick = () => look(vma.start * 2 ** machine.page_shift, true);
    return button;
  });
  if (touched.length > 400) shown.push(`and ${touched.length - 400} more`);
  const hidden = vmas.length - touched.length;
  if (hidden || showsAll) {
    const text = showsAll ? 'hide untouched VMAs' : `${plural(hidden, 'VMA')} that the call leaves alone …`;
    shown.push(element('button', { type: 'button', class: 'alike', onclick: () => { showsAll = !showsAll; show(); } }, text));
  }
  if (!vmas.length) shown.push('no VMAs');
  const list = (c) => (c.vmas.get(space) || []).map((vma) => `${vma.start * 2 ** c.machine.page_shift} ${vma.end * 2 ** c.machine.page_shift} ${vma.perms} ${vma.name}`).join();
  const differing = courses.filter((other) => list(other) !== list(course)).map((other) => machineName(other.machine));
  if (differing.length) shown.push(`(of ${machineName(machine)}; other VMAs on ${differing.join(', ')})`);
  byId('vmas').replaceChildren(...shown);
}
function drawSpaces() {
  const spaces = [...new Set(courses.flatMap((course) => [...course.vmas.keys()]))].sort((a, b) => a - b);
  const select = byId('space');
  select.replaceChildren(...spaces.map((id) => element('option', { value: id }, String(id))));
  if (!spaces.includes(space)) space = spaces[0] === undefined ? 1 : spaces[0];
  select.value = space;
  byId('space-label').hidden = spaces.length < 2;
}

function show() {
  drawSpaces();
  drawHeader();
  drawMaps();
  decode();
  drawCosts();
  drawTables();
  drawStrip();
  hooks.moved();
}
function goTo(wanted) {
  const next = Math.min(Math.max(1, wanted), data.calls.length);
  if (next === call || !Number.isFinite(next)) return;
  call = next;
  opened = [];
  unfolded = false;
  courses.forEach((course) => course.goTo(call));
  const of = machines.map((machine) => machine.steps[call - 1].s).find((of) => of !== null);
  if (of !== undefined) space = of;
  if (!pinned) focus = null;
  show();
}
const isCall = (number) => Number.isInteger(number) && number >= 1 && number <= data.calls.length;
// Says at a field what is wrong with what stands in it.
function sayAt(field, wrong) {
  field.setCustomValidity(wrong);
  field.reportValidity();
}
function look(address, pin) {
  focus = address;
  pinned = pin;
  show();
  if (pin) hooks.picked(space, address, call);
}
// Passing over a cell redraws only what depends on it.
function pass(address, index) {
  if (pinned || focus === address) return;
  focus = address;
  focusMachine = index;
  markFocus();
  decode();
}

// What a page around the report does when the view moves, and when an entry is picked.
const hooks = { moved: () => {}, picked: () => {} };

// Shows the data of a run: the call and the address that are wanted, which is asked once the calls are known, or the most interesting
// call.
function open(of, place = () => ({})) {
  load(of);
  const wanted = place();
  [call, focus, pinned, focusMachine] = [0, null, false, 0];
  if (Number.isSafeInteger(wanted.address)) [focus, pinned] = [wanted.address, true];
  allCosts = new Map();
  byId('slider').max = data.calls.length;
  byId('number').max = data.calls.length;
  byId('count').textContent = data.calls.length.toLocaleString('en');
  note(wanted.wrong || []);
  prepareOverview();
  drawLegend();
  goTo(wanted.call || mostInteresting());
}
function note(more) { byId('notes').textContent = [...more, ...notes()].join(' '); }
function notes() {
  const notes = [];
  if (!data.recorded) notes.push('This run is too large to record every step: batches, writes and flushes are counted, not placed. Entries are summarised by region.');
  const detailed = Math.min(...machines.map((machine) => machine.detailed));
  if (detailed < data.calls.length) {
    notes.push(`This run is large: up to call ${detailed.toLocaleString('en')} every entry and step is here; after it, entries are summarised by region, and steps are counted.`);
  }
  if (!data.finished) notes.push('The run was stopped before its end.');
  for (const note of data.notes) notes.push(`${note[0].toUpperCase()}${note.slice(1)}.`);
  return notes;
}

function pageOf(target) {
  const cell = target.closest && target.closest('.cell');
  if (!cell) return null;
  const index = Number(cell.closest('.map').dataset.machine);
  return { index, address: Number(cell.dataset.page) * 2 ** machines[index].page_shift };
}
byId('maps').addEventListener('pointerover', (event) => {
  const found = pageOf(event.target);
  if (found) pass(found.address, found.index);
});
byId('maps').addEventListener('click', (event) => {
  const found = pageOf(event.target);
  if (!found) return;
  focusMachine = found.index;
  look(found.address, true);
});
// Keys in a map go from entry to entry.
byId('maps').addEventListener('keydown', (event) => {
  const rows = event.target.closest('.rows');
  if (!rows || event.target !== rows) return;
  const index = Number(rows.closest('.map').dataset.machine);
  const machine = machines[index], start = Number(rows.dataset.start), end = Number(rows.dataset.end);
  const page = focus === null ? start : Math.min(Math.max(Math.floor(focus / 2 ** machine.page_shift), start), end - 1);
  const entry = courses[index].find(space, page) || { page, pages: 1 };
  const row = page - page % columns;
  const moves = { ArrowRight: Math.max(entry.page + entry.pages, page + 1), ArrowLeft: Math.max(entry.page, start) - 1, ArrowUp: page - columns,
    ArrowDown: page + columns, Home: Math.max(row, start), End: Math.min(row + columns, end) - 1, Enter: page };
  if (!(event.key in moves)) return;
  event.preventDefault();
  event.stopPropagation();
  const next = focus === null ? page : moves[event.key];
  if (next < start || next >= end) return;
  focusMachine = index;
  [focus, pinned] = [next * 2 ** machine.page_shift, true];
  markFocus();
  if (!rows.querySelector('.cell.here')) {
    drawMaps();
    const again = document.querySelector(`.map[data-machine="${index}"] .rows[data-start="${start}"]`);
    if (again) again.focus();
  }
  decode();
  hooks.moved();
  if (event.key === 'Enter') hooks.picked(space, focus, call);
  const here = document.querySelector(`.map[data-machine="${index}"] .cell.here`);
  if (here) here.scrollIntoView({ block: 'nearest' });
});
byId('maps').addEventListener('focusin', (event) => {
  const rows = event.target.closest('.rows');
  if (!rows || focus !== null) return;
  const index = Number(rows.closest('.map').dataset.machine);
  pass(Number(rows.dataset.start) * 2 ** machines[index].page_shift, index);
});
document.addEventListener('keydown', (event) => {
  if (!data) return;
  if (event.key === 'Escape' && !event.target.closest('input, select, textarea')) { look(null, false); return; }
  if (event.target.closest('input, select, textarea, .rows') || event.ctrlKey || event.metaKey || event.altKey) return;
  const moves = { ArrowLeft: neighbour(-1), ArrowRight: neighbour(1), Home: chosen[0], End: chosen[chosen.length - 1] };
  if (!(event.key in moves)) return;
  event.preventDefault();
  goTo(moves[event.key]);
});
byId('slider').addEventListener('input', () => goTo(Number(byId('slider').value)));
byId('number').addEventListener('change', () => {
  const wanted = Number(byId('number').value), is = isCall(wanted);
  sayAt(byId('number'), is ? '' : `A call, from 1 to ${data.calls.length}`);
  if (is) goTo(wanted);
});
byId('first').onclick = () => goTo(chosen[0]);
byId('last').onclick = () => goTo(chosen[chosen.length - 1]);
byId('back').onclick = () => goTo(neighbour(-1));
byId('forward').onclick = () => goTo(neighbour(1));
byId('expensive').onclick = () => goTo(nextExpensive());
for (const id of ['filter', 'filter-process']) {
  byId(id).addEventListener('change', () => {
    filterCalls();
    if (chosen.length && !chosen.includes(call)) goTo(neighbour(1) || chosen[0]); else drawStrip();
  });
}
byId('strip').addEventListener('click', (event) => goTo(callAt(event)));
byId('strip').addEventListener('pointermove', (event) => { const at = callAt(event); byId('strip').title = `${at}. ${data.texts[data.calls[at - 1][2]]}`; });
byId('space').addEventListener('change', () => { space = Number(byId('space').value); focus = null; pinned = false; show(); });
byId('address').addEventListener('change', () => {
  const address = parseAddress(byId('address').value);
  sayAt(byId('address'), address === null ? 'An address, as in 0x40000000' : '');
  if (address !== null) look(address, true);
});
byId('table-details').addEventListener('toggle', drawTables);
// As many maps side by side as there is room for, and as many cells in a row: labels are never drawn smaller than they are.
function arrange() {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const width = byId('maps').clientWidth;
  const room = Math.max(1, Math.floor((width + 1.2 * rem) / (21.5 * rem)));
  const lines = Math.ceil(machines.length / room), beside = Math.ceil(machines.length / lines);
  byId('maps').style.gridTemplateColumns = `repeat(${beside}, minmax(0, 1fr))`;
  const each = (width - (beside - 1) * 1.2 * rem) / beside;
  return [32, 16, 8].find((n) => xOf(n) + 2 <= each) || 8;
}
// On paper nothing can be opened.
window.addEventListener('beforeprint', () => {
  for (const folded of document.querySelectorAll('.causes, .costs details')) folded.open = true;
});
let waits = 0;
window.addEventListener('resize', () => {
  cancelAnimationFrame(waits);
  waits = requestAnimationFrame(() => { if (data) { drawMaps(); drawStrip(); } });
});
