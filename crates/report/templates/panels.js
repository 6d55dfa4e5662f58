// What stands around the map: sums, one entry bit by bit, costs, the table, the legend.

function summary(course) {
  const step = course.machine.steps[call - 1];
  const sums = { batch: 0, batchEntries: 0, single: 0, together: 0, fold: 0, unfold: 0, flush: 0, all: 0 };
  for (const [kind, , n] of step.h) {
    if (kind === KIND.batch) { sums.batch += 1; sums.batchEntries += n; }
    if (kind === KIND.write) sums.together += 1;
    if (kind === KIND.singles) sums.single += n;
    if (kind === KIND.fold) sums.fold += 1;
    if (kind === KIND.unfold) sums.unfold += 1;
    if (kind === KIND.flush || kind === KIND.flushAll) sums.flush += 1;
    if (kind === KIND.flushAll) sums.all += 1;
  }
  const parts = [];
  if (sums.batch) parts.push(`${plural(sums.batch, 'batch', 'batches')}, ${plural(sums.batchEntries, 'entry', 'entries')} in them`);
  if (sums.single) parts.push(`${plural(sums.single, 'entry', 'entries')} written one by one`);
  if (sums.together) parts.push(`${plural(sums.together, 'run')} written at once`);
  if (sums.unfold) parts.push(`${plural(sums.unfold, 'block')} unfolded`);
  if (sums.fold) parts.push(`${plural(sums.fold, 'block')} folded`);
  if (sums.flush) parts.push(plural(sums.flush, 'TLB flush', 'TLB flushes') + (!sums.all ? '' : sums.all === sums.flush ? ' of everything' : ` (${sums.all} of everything)`));
  if (step.m) parts.push(`and ${step.m.toLocaleString('en')} more steps that are not shown`);
  if (call > course.machine.detailed) parts.push('summarised by region');
  if (step.i !== null) parts.push(`${step.i.toLocaleString('en')} instructions predicted`);
  if (!parts.length) parts.push(data.recorded ? 'no entry written' : 'steps not recorded');
  return parts;
}

// Machines of one port whose maps are the same to the last cell have one: the others say so.
let unfolded = false;
function drawMaps() {
  const at = focus !== null ? focus : changedPlace();
  const known = [];
  columns = arrange();
  const parts = courses.map((course, index) => {
    const { machine } = course, step = machine.steps[call - 1];
    const heading = element('h2', {}, `${machine.arch}, Linux ${machine.kernel}`, element('small', {}, `= ${data.texts[step.o]}`));
    const section = element('section', { class: 'map', 'data-machine': index }, heading);
    const body = mapBody(course, at);
    const key = machine.arch + [step.o, ...[...body.children].map((child) => child.outerHTML)].join().replaceAll(` ${machine.kernel}"`, '"');
    const same = known.find(([of]) => of === key);
    known.push([key, machineName(machine)]);
    if (same && !unfolded && body.querySelector('.rows, .bar')) {
      section.classList.add('same');
      section.append(element('button', { type: 'button', class: 'alike', onclick: () => { unfolded = true; drawMaps(); } }, `⋮ the same as ${same[1]}`));
    } else {
      section.append(body);
    }
    return section;
  });
  byId('maps').replaceChildren(...parts);
  markFocus();
}
function mapBody(course, at) {
  const { machine } = course, body = element('div', {});
  const sums = element('p', { class: 'sum' });
  summary(course).forEach((text, i) => sums.append(i ? ' · ' : '', element('b', {}, text)));
  const causes = machine.steps[call - 1].y;
  body.append(sums);
  if (causes.length) {
    const names = causes.map((cause) => data.causes[cause][0]).join(' · ');
    const sentences = causes.map((cause) => element('p', {}, `${data.causes[cause][0]}: `, ...causeText(machine, cause)));
    body.append(element('details', { class: 'causes' }, element('summary', {}, `why: ${names}`), ...sentences));
  }
  body.append(...ruleLines(courses.indexOf(course)));
  const { full, regions } = layout(course, at);
  for (const vma of regions.slice(0, MAX_REGIONS)) {
    body.append(element('p', { class: 'vma' }, vmaText(machine, vma)), drawRegion(course, vma));
  }
  if (regions.length > MAX_REGIONS) {
    body.append(element('p', { class: 'vma' }, `and ${plural(regions.length - MAX_REGIONS, 'region')} more: choose one above`));
  }
  for (const [start, end, vma] of full) body.append(element('p', { class: 'vma' }, vmaText(machine, vma)), drawRows(course, start, end));
  if (!full.length && !regions.length) body.append(element('p', { class: 'vma' }, isSummed(course) ? 'no entry is another than before' : 'nothing is mapped that was touched'));
  return body;
}
// A sentence whose `names` stand in code.
function coded(text) {
  return text.split('`').map((part, at) => (at % 2 ? element('code', {}, part) : part)).filter((part) => part !== '');
}

// The rules by which the call differs from what it does on the other kernels of the port.
function ruleLines(index) {
  const seen = new Map();
  for (const [at, pair, id, text, has, lacks] of data.rules) {
    if (at !== call || !pair.includes(index)) continue;
    seen.set(id, `in ${has}, not in ${lacks}: ${text}`);
  }
  return [...seen].map(([id, text]) => element('p', { class: 'causes rule' }, 'rule: ', element('b', {}, id), ', ', ...coded(text)));
}
const vmaText = (machine, vma) =>
  `${addressText(machine, vma.start)}-${addressText(machine, vma.end)} ${vma.perms} ${sizeText((vma.end - vma.start) * 2 ** machine.page_shift)} ${vma.flags} ${vma.name}`.trimEnd();

function markFocus() {
  for (const cell of document.querySelectorAll('.cell.here')) cell.classList.remove('here');
  if (focus === null) return;
  for (const section of document.querySelectorAll('.map')) {
    const machine = machines[section.dataset.machine];
    const page = Math.floor(focus / 2 ** machine.page_shift);
    const entry = courses[section.dataset.machine].find(space, page);
    const cell = section.querySelector(`.cell[data-page="${page}"]`) || (entry && section.querySelector(`.cell[data-page="${entry.page}"]`));
    if (cell) cell.classList.add('here');
  }
}

function wordText(machine, entry) {
  if (!entry) return 'empty';
  const [bits, level, , text] = machine.words[entry.word];
  return `${bits.padStart(16, '0')}  ${text}${level ? ' (PMD leaf)' : ''}`;
}
function pageText(entry) {
  if (!entry || !entry.folio) return 'no page behind it';
  const share = entry.exclusive ? 'exclusive to this process' : 'not exclusive';
  return `page ${entry.offset} of a folio of ${plural(entry.folio, 'page')}, ${share}`;
}
function decode() {
  const panel = byId('decode');
  if (focus === null) {
    panel.replaceChildren(element('p', { class: 'notes' }, 'Point at an entry, or go to one with the keyboard, to see its word bit by bit.'));
    return;
  }
  const words = element('div', { class: 'words' });
  courses.forEach((course) => words.append(decodeOne(course)));
  const heading = element('h2', {}, '0x' + focus.toString(16));
  heading.append(element('button', { type: 'button', id: 'unfocus', 'aria-label': 'Close' }, '✕'));
  panel.replaceChildren(heading, words);
  byId('unfocus').onclick = () => look(null, false);
}
function decodeOne(course) {
  const machine = course.machine;
  const page = Math.floor(focus / 2 ** machine.page_shift);
  const now = course.find(space, page), before = course.before(space, page);
  const box = element('div', {}, element('h3', {}, `${machine.arch}, Linux ${machine.kernel}`));
  if (call > machine.detailed) {
    box.append(element('p', { class: 'notes' }, `Single entries are known up to call ${machine.detailed.toLocaleString('en')}.`));
    return box;
  }
  const line = (label, entry) => element('div', {}, element('code', {}, `${label} ${wordText(machine, entry)}`));
  if (before.changed) box.append(line('old', before.entry));
  box.append(line(before.changed ? 'new' : '   ', now), element('div', { class: 'page' }, pageText(now)));
  const shown = now || before.entry;
  if (shown) box.append(bitsOf(machine, shown, before, now));
  box.append(...whyLines(machine, page));
  return box;
}
function bitsOf(machine, shown, before, now) {
  const value = (entry, low, width) =>
    entry ? (BigInt('0x' + machine.words[entry.word][0]) >> BigInt(low)) & ((1n << BigInt(width)) - 1n) : 0n;
  const bits = element('ul', { class: 'bits', 'aria-label': 'Bits' });
  for (const [name, low, width] of machine.kinds[machine.words[shown.word][4]]) {
    const a = value(before.entry, low, width), b = value(now, low, width);
    const range = width === 1 ? low : `${low + width - 1}:${low}`;
    const isFrame = name === 'frame';
    const changed = before.changed && a !== b && !isFrame;
    const text = isFrame ? '…' : changed ? `${a}→${b}` : String(b);
    bits.append(element('li', { class: changed ? 'changed' : b ? 'set' : '' }, `${range} ${name} ${text}`));
  }
  return bits;
}

// Why the call made the entry what it is, or left it so: the causes that it was written for, and those that led to them.
function whyLines(machine, page) {
  const covering = machine.steps[call - 1].w.filter(([of, start, pages]) => of === space && start <= page && page < start + pages);
  const parts = new Map();
  for (const [, , , number] of covering) {
    for (const part of machine.reasons[number]) {
      const cause = part >> 1, behind = part & 1;
      if (!parts.has(cause) || !behind) parts.set(cause, behind);
    }
  }
  return [...parts].map(([cause, behind]) => {
    return element('div', { class: 'why' }, behind ? 'which came of: ' : 'why: ', ...causeText(machine, cause));
  });
}
// What was decided, and where Linux decides it.
function causeText(machine, cause) {
  const [, text, source] = data.causes[cause];
  const cited = source.includes('/') ? `${source}, Linux ${machine.kernel}` : source;
  return [text, ' ', element('small', {}, `(${cited})`)];
}

// What calls took on every machine: rows of a name and a sum for each machine, null where nothing is known.
function costRows(calls) {
  const rows = new Map(), instructions = machines.map(() => null);
  machines.forEach((machine, m) => {
    for (const at of calls) {
      const step = machine.steps[at];
      if (step.i !== null) instructions[m] = (instructions[m] || 0) + step.i;
      for (const [counter, n] of data.costs[step.k]) {
        if (!rows.has(counter)) rows.set(counter, machines.map(() => 0));
        rows.get(counter)[m] += n;
      }
    }
  });
  const list = [...rows].sort(([a], [b]) => a - b).map(([counter, sums]) => [data.counters[counter], sums]);
  return instructions.some((n) => n !== null) ? [['predicted instructions', instructions], ...list] : list;
}
// Machines of one port, first and last kernel.
function portPairs() {
  const pairs = [];
  for (const arch of new Set(machines.map((machine) => machine.arch))) {
    const of = machines.flatMap((machine, m) => (machine.arch === arch ? [m] : []));
    if (of.length > 1) pairs.push([of[0], of[of.length - 1]]);
  }
  return pairs;
}
// Counters that differ between machines first; those that do not are folded away.
function costTable(caption, list) {
  const differs = ([, sums]) => machines.length === 1 || sums.some((n) => n !== sums[0]);
  const differing = list.filter(differs), equal = list.filter((row) => !differs(row));
  const parts = [element('h3', {}, caption)];
  if (differing.length) parts.push(costRowsTable(caption, differing));
  else parts.push(element('p', { class: 'notes' }, `Nothing differs between the ${machines.length} machines.`));
  if (equal.length) {
    const names = plural(equal.length, 'counter is the same on all machines', 'counters are the same on all machines');
    parts.push(element('details', {}, element('summary', {}, names), costRowsTable(`${caption}: the same on all machines`, equal)));
  }
  return element('div', {}, ...parts);
}
function costRowsTable(caption, list) {
  const pairs = portPairs();
  const th = (text) => element('th', { scope: 'col' }, text);
  const head = element('tr', {}, th('counter'), ...machines.map((machine) => th(machineName(machine))),
    ...pairs.map(([a, b]) => th(`${machines[a].arch} ${machines[b].kernel} / ${machines[a].kernel}`)));
  const body = element('tbody');
  for (const [name, sums] of list) {
    const row = element('tr', {}, element('th', { scope: 'row' }, name));
    const most = Math.max(...sums);
    for (const n of sums) {
      if (n === null) { row.append(element('td', {}, 'not known')); continue; }
      const bar = element('span', { class: 'b' });
      bar.style.width = `${(n / most * 5.5).toFixed(2)}rem`;
      row.append(element('td', {}, n ? bar : '', n.toLocaleString('en')));
    }
    for (const [a, b] of pairs) row.append(element('td', { class: 'ratio' }, sums[a] ? (sums[b] / sums[a]).toFixed(2) : '–'));
    body.append(row);
  }
  const table = element('table', {}, element('caption', { class: 'unseen' }, caption), element('thead', {}, head), body);
  return element('div', { class: 'scroll', role: 'region', tabindex: '0', 'aria-label': caption }, table);
}
function meanings(rows) {
  const list = element('dl');
  for (const [name] of rows) {
    const meaning = data.meanings[data.counters.indexOf(name)] || 'What a kernel would execute, by measurements of real ones.';
    list.append(element('dt', {}, name), element('dd', {}, meaning));
  }
  return element('details', {}, element('summary', {}, 'What the counters mean'), list);
}
let allCosts = new Map();   // by the name of the call
function drawCosts() {
  const list = costRows([call - 1]);
  const parts = [list.length ? costTable('This call', list) : element('p', {}, 'Nothing that is counted.')];
  const name = nameOf(call - 1);
  if (!allCosts.has(name)) {
    const calls = data.calls.flatMap((_, at) => (nameOf(at) === name ? [at] : []));
    const rows = calls.length > 1 ? costRows(calls) : [];
    allCosts.set(name, rows.length ? [`All ${plural(calls.length, 'call')} of ${name} in this run`, rows] : null);
  }
  if (allCosts.get(name)) parts.push(costTable(...allCosts.get(name)));
  if (list.length) parts.push(meanings(allCosts.get(name) ? allCosts.get(name)[1] : list));
  byId('costs').replaceChildren(...parts);
}

function drawTables() {
  if (!byId('table-details').open) return;
  byId('tables').replaceChildren(...courses.map((course) => {
    const machine = course.machine, runs = course.runs.get(space) || [];
    const table = element('table', {}, element('caption', {}, `${machine.arch}, Linux ${machine.kernel}: ${summary(course).join('; ')}`));
    const head = ['address', 'entries', 'word', 'meaning', 'page', 'this call'].map((text) => element('th', { scope: 'col' }, text));
    const body = element('tbody');
    runs.slice(0, 1000).forEach((run) => {
      const [bits, level, , text] = machine.words[run.word];
      const before = course.before(space, run.page);
      const change = before.changed ? `changed, was ${wordText(machine, before.entry)}` : '';
      const size = sizeText(run.each * 2 ** machine.page_shift) + (level ? ' PMD' : '');
      const cells = [addressText(machine, run.page), `${run.pages / run.each} x ${size}`, bits.padStart(16, '0'), text, pageText(run), change];
      body.append(element('tr', {}, ...cells.map((cell) => element('td', {}, cell))));
    });
    if (runs.length > 1000) body.append(element('tr', {}, element('td', { colspan: 6 }, `and ${runs.length - 1000} more runs`)));
    table.append(element('thead', {}, element('tr', {}, ...head)), body);
    return table;
  }));
}

function drawLegend() {
  const list = element('ul');
  const item = (text, draw, wide) => {
    const svg = drawn('svg', { viewBox: wide ? '0 0 44 20' : '0 0 22 20', class: wide ? 'wide' : '', 'aria-hidden': 'true' });
    draw(svg);
    list.append(element('li', {}, svg, text));
  };
  const square = (fill, more) => (svg) => {
    svg.append(drawn('rect', { class: 'cell', x: 3, y: 2, width: 14, height: 15, fill }));
    if (more) more(svg);
  };
  for (const [, colour, text] of COLOURS) item(text, square(colour));
  const marked = (attrs, entry) => square(colourOf['r--'], (svg) =>
    marksOf(svg, { words: [['0', 0, attrs, '', 0]] }, { word: 0, ...entry }, 3, 2, 14));
  item('accessed', marked(ATTR.YOUNG, {}));
  item('dirty', marked(ATTR.DIRTY, {}));
  item('exclusive to the process', marked(0, { exclusive: true }));
  item('not exclusive: may be shared', marked(0, { folio: 1 }));
  item('soft-dirty', marked(ATTR.SOFT_DIRTY, {}));
  item('special: no page struct', marked(ATTR.SPECIAL, {}));
  item('userfaultfd write protection', marked(ATTR.UFFD, {}));
  item('changed by this call', (svg) => svg.append(drawn('rect', { class: 'cell new', x: 3, y: 2, width: 14, height: 15, fill: colourOf['r--'] })));
  item('contiguous block', (svg) => svg.append(drawn('rect', { class: 'block', x: 2, y: 2, width: 40, height: 15, rx: 3 })), true);
  item('pages of one folio', (svg) => svg.append(drawn('path', { class: 'folio', d: 'M3 11h38' })), true);
  item('a batch that the driver formed', (svg) => svg.append(drawn('path', { class: 'batch', d: 'M3 13v-5H41v5' })), true);
  item('written one by one', (svg) => svg.append(drawn('path', { class: 'write', d: 'M8 13v-5M18 13v-5M28 13v-5M38 13v-5' })), true);
  item('TLB flush', (svg) => svg.append(drawn('rect', { class: 'flush', x: 3, y: 9, width: 38, height: 2.4 })), true);
  item('TLB flush of everything', (svg) => svg.append(drawn('path', { class: 'all', d: 'M3 10H41' })), true);
  list.append(element('li', {}, 'rd wr ex mr mw me ac …: flags of a VMA, as VmFlags of /proc/PID/smaps has them'));
  const keys = element('p', { class: 'notes' }, document.querySelector('.keys').textContent);
  byId('legend').replaceChildren(list, keys);
}
