'use strict';
(async () => {
// Large data are packed: base64 of gzip.
async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).json();
}
const source = document.getElementById('data').textContent;
const data = source.startsWith('{') ? JSON.parse(source) : await unpacked(source);
const byId = (id) => document.getElementById(id);
const KIND = { batch: 0, write: 1, fold: 2, unfold: 3, flush: 4, flushAll: 5, singles: 6 };
const machines = data.machines;
for (const machine of machines) machine.steps = [];
// A step has what differs from the machine before; its pages count from its first.
for (const steps of data.steps) {
  let full = { b: 0, o: 0, x: false, s: null, c: [], v: [], e: [], h: [], m: 0, w: [], y: [], k: 0, i: null };
  steps.forEach((step, m) => {
    full = { ...full, ...step };
    const { b } = full;
    machines[m].steps.push({
      ...full,
      c: full.c.map(([space, page, flat]) => [space, page + b, flat]),
      v: full.v.map(([space, at, removed, added]) => [space, at, removed, added.map(([page, ...area]) => [page + b, ...area])]),
      h: full.h.map(([kind, page, n]) => [kind, kind === KIND.flushAll ? page : page + b, n]),
      w: full.w.map(([space, page, pages, reasons]) => [space, page + b, pages, reasons]),
    });
  });
}
{
  const { lines, pids, texts } = data.calls;
  let line = 0;
  data.calls = lines.map((further, i) => [line += further, pids[i], texts[i]]);
}
const ATTR = Object.fromEntries(data.attributes.map((name, i) => [name, 1 << i]));
const SOFT = 1 << 16;
const COLUMNS = 32;          // cells in a row
const MAX_CELLS = 4096;      // entries of a machine that are drawn one by one
const WINDOW = 1024;         // around the place that is looked at, where there are more
const MAX_REGIONS = 60;      // regions drawn as bars
const CHECKPOINT = 512;      // calls between two kept states

// Colours that differ in lightness too, after Okabe and Ito.
const COLOURS = [
  ['none', 'var(--none)', 'nothing mapped'],
  ['---', '#9aa3ad', 'no access (PROT_NONE, NUMA hint)'],
  ['r--', '#8ccbf2', 'read'],
  ['rw-', '#f0a530', 'read and write'],
  ['r-x', '#3fb89a', 'read and execute'],
  ['rwx', '#d98bb8', 'read, write and execute'],
  ['--x', '#f0e442', 'execute'],
  ['soft', '#c5b8e8', 'software entry: marker, swap, migration'],
];
const colourOf = Object.fromEntries(COLOURS.map(([key, colour]) => [key, colour]));

function element(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
function drawn(name, attributes, text) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  return node;
}
const plural = (n, one, many) => `${n.toLocaleString('en')} ${n === 1 ? one : many || one + 's'}`;
const addressText = (machine, page) => '0x' + (page * 2 ** machine.page_shift).toString(16).padStart(8, '0');
function sizeText(bytes) {
  for (const [unit, name] of [[2 ** 40, 'T'], [2 ** 30, 'G'], [2 ** 20, 'M'], [1024, 'K']]) {
    if (bytes % unit === 0) return bytes / unit + name;
  }
  return String(bytes);
}
function parseAddress(text) {
  const clean = text.trim();
  if (!/^(0x[0-9a-f]+|[0-9]+)$/i.test(clean)) return null;
  const value = Number(clean);
  return Number.isSafeInteger(value) ? value : null;
}
function keyOf(machine, run) {
  const attrs = machine.words[run.word][2];
  if (run.word === 0) return 'none';
  if (attrs & SOFT) return 'soft';
  if (attrs & ATTR.PROTNONE || !(attrs & (ATTR.USER | ATTR.EXEC))) return '---';
  return (attrs & ATTR.USER ? 'r' : '-') + (attrs & ATTR.WRITE ? 'w' : '-') + (attrs & ATTR.EXEC ? 'x' : '-');
}

// The state of one machine: runs of entries and VMAs of each address space, at one call after the other.
class Course {
  constructor(machine) {
    this.machine = machine;
    this.kept = [{ at: 0, runs: new Map(), vmas: new Map() }];
    this.reset(this.kept[0]);
    this.old = [];
  }
  reset(kept) {
    this.at = kept.at;
    this.runs = new Map([...kept.runs].map(([space, runs]) => [space, runs.slice()]));
    this.vmas = new Map([...kept.vmas].map(([space, vmas]) => [space, vmas.slice()]));
  }
  goTo(call) {
    if (this.at >= call) {
      let best = this.kept[0];
      for (const kept of this.kept) if (kept.at < call && kept.at > best.at) best = kept;
      this.reset(best);
    }
    while (this.at < call) this.step();
  }
  step() {
    const step = this.machine.steps[this.at];
    this.old = [];
    for (const [space, start, flat] of step.c) this.change(space, start, flat);
    for (const [space, at, removed, added] of step.v) {
      if (!this.vmas.has(space)) this.vmas.set(space, []);
      const rows = added.map(([start, length, perms, flags, name]) =>
        ({ start, end: start + length, perms: data.texts[perms], flags: data.texts[flags], name: data.texts[name] }));
      this.vmas.get(space).splice(at, removed, ...rows);
    }
    for (const space of step.e) { this.runs.delete(space); this.vmas.delete(space); }
    this.at += 1;
    const last = this.kept[this.kept.length - 1];
    if (this.at - last.at >= CHECKPOINT) {
      const copy = (map) => new Map([...map].map(([space, list]) => [space, list.slice()]));
      this.kept.push({ at: this.at, runs: copy(this.runs), vmas: copy(this.vmas) });
    }
  }
  entryPages(word) { return this.machine.entry_pages[this.machine.words[word][1]]; }
  change(space, start, flat) {
    const pieces = [];
    let page = start;
    for (let i = 0; i < flat.length; i += 5) {
      const [n, word, folio, offset, flags] = flat.slice(i, i + 5);
      const each = this.entryPages(word);
      const piece = { page, pages: n * each, each, word, folio, offset, repeats: flags & 1, exclusive: flags & 2 };
      if (word !== 0) pieces.push(piece);
      page += piece.pages;
    }
    if (!this.runs.has(space)) this.runs.set(space, []);
    const runs = this.runs.get(space);
    const from = firstEndingAfter(runs, start);
    let to = from;
    while (to < runs.length && runs[to].page < page) to += 1;
    const gone = runs.slice(from, to);
    for (const run of gone) {
      const cut = part(run, start, page);
      if (cut) this.old.push({ space, run: cut });
    }
    this.old.push({ space, start, end: page });
    const head = gone.length ? part(gone[0], -Infinity, start) : null;
    const tail = gone.length ? part(gone[gone.length - 1], page, Infinity) : null;
    runs.splice(from, to - from, ...(head ? [head] : []), ...pieces, ...(tail ? [tail] : []));
  }
  find(space, page) { return entryAt(this.runs.get(space) || [], page); }
  // Whether the call changed an entry from start to end.
  touched(space, start, end) {
    return this.old.some((old) => old.space === space && old.start < end && old.end > start);
  }
  before(space, page) {
    let inside = false;
    for (const old of this.old) {
      if (old.space !== space) continue;
      if (old.run && old.run.page <= page && page < old.run.page + old.run.pages) return { changed: true, entry: entryOf(old.run, page) };
      if (old.start !== undefined && old.start <= page && page < old.end) inside = true;
    }
    return inside ? { changed: true, entry: null } : { changed: false, entry: this.find(space, page) };
  }
}
function firstEndingAfter(runs, page) {
  let low = 0, high = runs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (runs[middle].page + runs[middle].pages > page) high = middle; else low = middle + 1;
  }
  return low;
}
function part(run, from, to) {
  const start = Math.max(run.page, from), end = Math.min(run.page + run.pages, to);
  if (start >= end) return null;
  const skip = run.repeats || !run.folio ? 0 : start - run.page;
  return { ...run, page: start, pages: end - start, offset: run.folio ? (run.offset + skip) % run.folio : 0 };
}
// One entry: the run's, with its own page and place in its folio.
function entryOf(run, page) {
  const first = run.page + Math.floor((page - run.page) / run.each) * run.each;
  return { ...part(run, first, first + run.each), pages: run.each };
}
function entryAt(runs, page) {
  const run = runs[firstEndingAfter(runs, page)];
  return run && run.page <= page ? entryOf(run, page) : null;
}

const courses = machines.map((machine) => new Course(machine));
let call = 0;              // from 1 on screen
let space = 1;
let focus = null;          // address that is looked at, in bytes
let pinned = false;        // it was asked for, not only passed over
let focusMachine = 0;

// The parts of an address space that are drawn: VMAs entry by entry, or the neighbourhood of the focus.
function layout(course, at) {
  const vmas = course.vmas.get(space) || [];
  const pages = vmas.reduce((sum, vma) => sum + vma.end - vma.start, 0);
  if (call > course.machine.detailed) return { full: [], regions: vmas };
  if (pages <= MAX_CELLS) return { full: vmas.map((vma) => [vma.start, vma.end, vma]), regions: [] };
  const focusPage = at === null ? null : Math.floor(at / 2 ** course.machine.page_shift);
  const vma = vmas.find((vma) => focusPage !== null && vma.start <= focusPage && focusPage < vma.end);
  if (!vma) return { full: [], regions: vmas };
  if (vma.end - vma.start <= WINDOW) return { full: [[vma.start, vma.end, vma]], regions: vmas };
  let start = Math.max(vma.start, Math.floor(focusPage / 512) * 512 - (WINDOW - 512) / 2);
  start = Math.max(vma.start, Math.min(start, vma.end - WINDOW));
  return { full: [[start, Math.min(vma.end, start + WINDOW), vma]], regions: vmas };
}
function changedPlace() {
  for (const course of courses) {
    const change = course.machine.steps[call - 1].c.find(([of]) => of === space);
    if (change) return change[1] * 2 ** course.machine.page_shift;
  }
  return null;
}

const CELL = 14, LEFT = 94, GAP = 3, ROW = 45, EMPTY_ROW = 18, TOP = 20;
const xOf = (column) => LEFT + column * CELL + Math.floor(column / 16) * GAP;

function marksOf(svg, machine, entry, x, y, width) {
  const attrs = machine.words[entry.word][2];
  const has = (name) => !(attrs & SOFT) && attrs & ATTR[name];
  if (has('DIRTY')) svg.append(drawn('circle', { class: 'mark', cx: x + 3.6, cy: y + 11, r: 2 }));
  if (has('YOUNG')) svg.append(drawn('rect', { class: 'mark', x: x + 8.6, y: y + 9.2, width: 3.4, height: 3.4 }));
  if (has('SOFT_DIRTY')) svg.append(drawn('path', { class: 'stroke', d: `M${x + 2} ${y + 14.2}h${width - 4}` }));
  if (has('SPECIAL')) svg.append(drawn('path', { class: 'stroke', d: `M${x + 2} ${y + 14}L${x + width - 2} ${y + 2}` }));
  if (has('UFFD')) svg.append(drawn('path', { class: 'stroke', d: `M${x + 6} ${y + 2}v3h3v-3` }));
  if (entry.exclusive) {
    svg.append(drawn('path', { class: 'mark', d: `M${x + 1} ${y + 1}h5.2l-5.2 5.2z` }));
  } else if (entry.folio && !has('SPECIAL')) {
    svg.append(drawn('path', { class: 'stroke', d: `M${x + 2} ${y + 3.5}h4` }));
  }
}

// Draws the entries from start to end of one VMA as rows of cells.
function drawRows(course, start, end) {
  const machine = course.machine;
  const rowOf = (page) => Math.floor(page / COLUMNS);
  const width = xOf(COLUMNS) + 2;
  const svg = drawn('svg', { role: 'application', tabindex: '0',
    'aria-label': `Entries ${addressText(machine, start)} to ${addressText(machine, end)}, ${machine.arch} ${machine.kernel}` });
  const runs = course.runs.get(space) || [];
  const step = machine.steps[call - 1];
  const happened = happeningsIn(step, start, end);
  const focusPage = focus === null ? -1 : Math.floor(focus / 2 ** machine.page_shift);
  let y = TOP, empty = null;
  const endEmpty = (page) => {
    if (empty === null) return;
    svg.append(drawn('text', { class: 'addr', x: 0, y: y }, `${addressText(machine, empty)}  ${plural(page - empty, 'empty entry', 'empty entries')}`));
    y += EMPTY_ROW;
    empty = null;
  };
  for (let row = rowOf(start); row <= rowOf(end - 1); row += 1) {
    const from = Math.max(start, row * COLUMNS), to = Math.min(end, (row + 1) * COLUMNS);
    const run = runs[firstEndingAfter(runs, from)];
    const isEmpty = !(run && run.page < to) && !course.touched(space, from, to) && !(from <= focusPage && focusPage < to);
    if (isEmpty) { if (empty === null) empty = from; continue; }
    endEmpty(from);
    drawRow(svg, course, runs, happened, from, to, y);
    y += ROW;
  }
  endEmpty(end);
  svg.setAttribute('viewBox', `0 0 ${width} ${y - TOP + 4}`);
  svg.dataset.start = start;
  svg.dataset.end = end;
  return svg;
}
function drawRow(svg, course, runs, happened, from, to, y) {
  const machine = course.machine;
  svg.append(drawn('text', { class: 'addr', x: 0, y: y + 11 }, addressText(machine, from)));
  for (let page = from; page < to;) {
    const found = entryAt(runs, page);
    const stop = Math.min(to, found ? found.page + found.pages : page + 1);
    const x = xOf(page % COLUMNS), width = xOf((stop - 1) % COLUMNS) + CELL - x;
    const entry = found || { word: 0, folio: 0 };
    const before = course.before(space, page);
    const cell = drawn('rect', { class: 'cell' + (before.changed ? ' new' : ''), x: x + .8, y: y + .8, width: width - 1.6,
      height: 14.4, rx: 1, fill: colourOf[keyOf(machine, entry)] });
    cell.dataset.page = page;
    svg.append(cell);
    if (found && (found.each === 1 || page === found.page)) marksOf(svg, machine, found, x, y, width);
    if (found && found.each > 1 && page === Math.max(found.page, from)) {
      svg.append(drawn('text', { class: 'lane', x: x + 20, y: y + 11, fill: '#111' },
        page === found.page ? `PMD leaf, ${sizeText(found.pages * 2 ** machine.page_shift)}` : 'same leaf'));
    }
    page = stop;
  }
  drawGroups(svg, machine, runs, from, to, y);
  drawHappenings(svg, machine, happened, from, to, y);
}
// Contiguous blocks as frames, folios as lines under their pages.
function drawGroups(svg, machine, runs, from, to, y) {
  for (let page = from; page < to;) {
    const entry = entryAt(runs, page);
    if (!entry || entry.each > 1) { page = entry ? entry.page + entry.pages : page + 1; continue; }
    let stop = page + 1, last = entry;
    while (stop < to) {
      const next = entryAt(runs, stop);
      if (!next || next.each > 1 || next.folio !== entry.folio || next.offset !== last.offset + 1) break;
      last = next;
      stop += 1;
    }
    if (entry.folio > 1) {
      const x = xOf(page % COLUMNS), right = xOf((stop - 1) % COLUMNS) + CELL;
      const left = x + (entry.offset === 0 ? 2 : 0), end = right - (last.offset + 1 === entry.folio ? 2 : 0);
      svg.append(drawn('path', { class: 'folio', d: `M${left} ${y + 17.5}H${end}` }));
    }
    page = stop;
  }
  if (machine.cont === 1) return;
  for (let page = Math.ceil(from / machine.cont) * machine.cont; page < to; page += machine.cont) {
    const entry = entryAt(runs, page);
    if (!entry || !(machine.words[entry.word][2] & ATTR.CONT) || machine.words[entry.word][2] & SOFT) continue;
    const x = xOf(page % COLUMNS), right = xOf((page + machine.cont - 1) % COLUMNS) + CELL;
    svg.append(drawn('rect', { class: 'block', x: x - .6, y: y - .8, width: right - x + 1.2, height: 17.4, rx: 3 }));
  }
}
function happeningsIn(step, start, end) {
  const found = { batch: [], write: [], fold: [], unfold: [], flush: [], all: false };
  for (const [kind, page, n] of step.h) {
    if (kind === KIND.flushAll) found.all = true;
    const length = kind === KIND.fold || kind === KIND.unfold ? 16 : n;
    if (page >= end || page + length <= start) continue;
    if (kind === KIND.batch) found.batch.push([page, page + n]);
    if (kind === KIND.write) found.write.push([page, page + n]);
    if (kind === KIND.singles) {
      for (let at = Math.max(page, start); at < Math.min(page + n, end); at += 1) found.write.push([at, at + 1]);
    }
    if (kind === KIND.fold) found.fold.push(page);
    if (kind === KIND.unfold) found.unfold.push(page);
    if (kind === KIND.flush) found.flush.push([page, page + n]);
  }
  return found;
}
function bracket(svg, kind, a, b, from, to, y) {
  const left = Math.max(a, from), right = Math.min(b, to);
  const x = xOf(left % COLUMNS) + 1.5, end = xOf((right - 1) % COLUMNS) + CELL - 1.5;
  const open = a >= from ? `M${x} ${y - 2}v-3.5` : `M${x} ${y - 5.5}`;
  svg.append(drawn('path', { class: kind, d: `${open}H${end}${b <= to ? 'v3.5' : ''}` }));
  return [x, end];
}
function drawHappenings(svg, machine, happened, from, to, y) {
  const inRow = (list) => list.filter(([a, b]) => a < to && b > from);
  for (const [a, b] of inRow(happened.batch)) {
    const [x, end] = bracket(svg, 'batch', a, b, from, to, y);
    if (end - x > 60 && a >= from) label(svg, 'b', x + 5, y - 8.5, b - a === 1 ? '1' : `batch of ${b - a}`);
  }
  let singles = 0;
  // A label where nothing else has one.
  const alone = !inRow(happened.batch).length && !inRow(happened.write).some(([a, b]) => b - a === 1) && !happened.unfold.length;
  for (const [a, b] of inRow(happened.write)) {
    if (b - a === 1) {
      const x = xOf(a % COLUMNS) + CELL / 2;
      svg.append(drawn('path', { class: 'write', d: `M${x} ${y - 1.5}v-3.5` }));
      singles += 1;
    } else {
      const [x, end] = bracket(svg, 'write', a, b, from, to, y);
      if (end - x > 60 && a >= from && alone) label(svg, 's', x + 5, y - 8.5, `${b - a} written`);
    }
  }
  for (let block = Math.floor(from / 16) * 16; block < to; block += 16) {
    const unfolds = happened.unfold.filter((page) => page === block).length;
    const folds = happened.fold.filter((page) => page === block).length;
    if (!unfolds && !folds) continue;
    const ones = happened.write.filter(([a, b]) => b - a === 1 && a >= block && a < block + 16).length;
    const parts = [];
    if (unfolds) parts.push(unfolds > 1 ? `unfold ×${unfolds}` : 'unfold');
    if (ones) parts.push(`${ones} × 1`);
    if (folds) parts.push(folds > 1 ? `fold ×${folds}` : 'fold');
    const batched = happened.batch.some(([a, b]) => a < block + 16 && b > block);
    const x = batched ? xOf((Math.min(block + 16, to) - 1) % COLUMNS) + CELL - 2 : xOf(Math.max(block, from) % COLUMNS) + 4;
    svg.append(drawn('text', { class: 'lane f', x, y: y - 8.5, 'text-anchor': batched ? 'end' : 'start' }, parts.join(' → ')));
  }
  if (!happened.unfold.length && !happened.fold.length && singles > 1 && !happened.batch.length) {
    label(svg, 's', xOf(from % COLUMNS) + 4, y - 8.5, `${singles} one by one`);
  }
  if (happened.all) {
    const x = xOf(from % COLUMNS), end = xOf((to - 1) % COLUMNS) + CELL;
    svg.append(drawn('path', { class: 'all', d: `M${x} ${y + 21}H${end}` }));
  }
  const counts = new Map();
  for (const [a, b] of inRow(happened.flush)) counts.set(`${a},${b}`, (counts.get(`${a},${b}`) || 0) + 1);
  for (const [range, times] of counts) {
    const [a, b] = range.split(',').map(Number);
    const x = xOf(Math.max(a, from) % COLUMNS), end = xOf((Math.min(b, to) - 1) % COLUMNS) + CELL;
    const start = x + (a >= from ? 1.5 : 0), stop = end - (b <= to ? 1.5 : 0);
    for (let i = 0; i < Math.min(times, 3); i += 1) {
      svg.append(drawn('rect', { class: 'flush', x: start, y: y + 19.5 + i * 1.6, width: Math.max(stop - start, 2), height: 1 }));
    }
    if (times === 1) svg.append(drawn('rect', { class: 'flush', x: start, y: y + 19.5, width: Math.max(stop - start, 2), height: 2.2 }));
  }
}
function label(svg, kind, x, y, text) { svg.append(drawn('text', { class: `lane ${kind}`, x, y }, text)); }

// A region as one bar, each run as wide as its share.
function drawRegion(course, vma) {
  const machine = course.machine, pages = vma.end - vma.start, width = 520;
  const svg = drawn('svg', { class: 'bar', viewBox: `0 0 ${width} 14`, preserveAspectRatio: 'none', role: 'img' });
  svg.append(drawn('rect', { x: 0, y: 1, width, height: 12, fill: colourOf.none }));
  const runs = course.runs.get(space) || [];
  const shares = new Map();
  let last = -1;
  for (let i = firstEndingAfter(runs, vma.start); i < runs.length && runs[i].page < vma.end; i += 1) {
    const run = part(runs[i], vma.start, vma.end), key = keyOf(machine, run);
    shares.set(key, (shares.get(key) || 0) + run.pages);
    const x = (run.page - vma.start) / pages * width, w = Math.max(run.pages / pages * width, .5);
    if (x + w <= last + .25) continue;
    last = x + w;
    svg.append(drawn('rect', { x, y: 1, width: w, height: 12, fill: colourOf[key] }));
  }
  for (const [of, start, flat] of machine.steps[call - 1].c) {
    let end = start;
    for (let i = 0; i < flat.length; i += 5) end += flat[i] * course.entryPages(flat[i + 1]);
    if (of !== space || end <= vma.start || start >= vma.end) continue;
    const x = (Math.max(start, vma.start) - vma.start) / pages * width;
    const w = Math.max((Math.min(end, vma.end) - Math.max(start, vma.start)) / pages * width, 1);
    svg.append(drawn('rect', { x, y: .8, width: w, height: 12.4, fill: 'none', stroke: 'var(--changed)', 'stroke-width': 1.2 }));
  }
  const texts = [...shares].map(([key, n]) => `${n.toLocaleString('en')} ${key}`);
  svg.setAttribute('aria-label', `${plural(pages, 'page')}: ${texts.join(', ') || 'nothing mapped'}`);
  return svg;
}

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

function drawMaps() {
  const at = focus !== null ? focus : changedPlace();
  const parts = courses.map((course, index) => {
    const section = element('section', { class: 'map', 'data-machine': index });
    const { arch, kernel } = course.machine;
    const step = course.machine.steps[call - 1];
    const heading = element('h2', {}, `${arch}, Linux ${kernel}`);
    heading.append(element('small', {}, `= ${data.texts[step.o]}`));
    section.append(heading);
    const sums = element('p', { class: 'sum' });
    summary(course).forEach((text, i) => sums.append(i ? ' · ' : '', element('b', {}, text)));
    section.append(sums);
    const causes = step.y.map((cause) => element('span', { title: data.causes[cause][1] }, data.causes[cause][0]));
    section.append(element('p', { class: 'causes' }, ...causes.flatMap((cause, i) => [i ? ' · ' : 'why: ', cause])));
    const { full, regions } = layout(course, at);
    for (const vma of regions.slice(0, MAX_REGIONS)) {
      section.append(element('p', { class: 'vma' }, vmaText(course.machine, vma)), drawRegion(course, vma));
    }
    if (regions.length > MAX_REGIONS) {
      section.append(element('p', { class: 'vma' }, `and ${plural(regions.length - MAX_REGIONS, 'region')} more: choose one above`));
    }
    for (const [start, end, vma] of full) {
      section.append(element('p', { class: 'vma' }, vmaText(course.machine, vma)), drawRows(course, start, end));
    }
    if (!full.length && !regions.length) section.append(element('p', { class: 'vma' }, 'nothing is mapped'));
    return section;
  });
  byId('maps').replaceChildren(...parts);
  markFocus();
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
  heading.append(element('button', { type: 'button', id: 'unfocus', 'aria-label': 'Close', style: 'float:right' }, '✕'));
  panel.replaceChildren(heading, words);
  byId('unfocus').onclick = () => { focus = null; pinned = false; show(); };
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
  box.append(line(before.changed ? 'new' : '   ', now), element('div', {}, pageText(now)));
  box.append(...whyLines(machine, page));
  const shown = now || before.entry;
  if (!shown) return box;
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
  box.append(bits);
  return box;
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
    const [id, text, source] = data.causes[cause];
    const cited = source.includes('/') ? `${source}, Linux ${machine.kernel}` : source;
    return element('div', { class: 'why', title: `${id}: ${cited}` }, `${behind ? 'as' : 'why'}: ${text}`);
  });
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
function costTable(caption, list) {
  const pairs = portPairs();
  const th = (text) => element('th', { scope: 'col' }, text);
  const head = element('tr', {}, th('counter'), ...machines.map((machine) => th(`${machine.arch} ${machine.kernel}`)),
    ...pairs.map(([a, b]) => th(`${machines[a].arch} ${machines[b].kernel} / ${machines[a].kernel}`)));
  const body = element('tbody');
  for (const [name, sums] of list) {
    const row = element('tr', {}, element('th', { scope: 'row' }, name));
    const most = Math.max(...sums);
    for (const n of sums) {
      if (n === null) { row.append(element('td', {}, 'not known')); continue; }
      const bar = element('span', { class: 'b', style: `width:${(n / most * 5.5).toFixed(2)}rem` });
      row.append(element('td', {}, n ? bar : '', n.toLocaleString('en')));
    }
    for (const [a, b] of pairs) row.append(element('td', { class: 'ratio' }, sums[a] ? (sums[b] / sums[a]).toFixed(2) : '–'));
    body.append(row);
  }
  return element('div', { class: 'scroll' }, element('table', {}, element('caption', {}, caption), element('thead', {}, head), body));
}
const nameOf = (at) => data.texts[data.calls[at][2]].split('(')[0];
const allCosts = new Map();   // by the name of the call
function drawCosts() {
  const list = costRows([call - 1]);
  const parts = [list.length ? costTable('This call', list) : element('p', {}, 'Nothing that is counted.')];
  const name = nameOf(call - 1);
  if (!allCosts.has(name)) {
    const calls = data.calls.flatMap((_, at) => (nameOf(at) === name ? [at] : []));
    const rows = data.calls.length > 1 ? costRows(calls) : [];
    allCosts.set(name, rows.length ? costTable(`All ${plural(data.calls.length, 'call')} of ${name} in this run`, rows) : null);
  }
  if (allCosts.get(name)) parts.push(allCosts.get(name));
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

function drawHeader() {
  const [line, pid, text] = data.calls[call - 1];
  const who = pid === 1 ? '' : `[pid ${pid}] `;
  const results = new Map();
  let wrong = false;
  for (const machine of machines) {
    const step = machine.steps[call - 1];
    if (!results.has(step.o)) results.set(step.o, []);
    results.get(step.o).push(`${machine.arch} ${machine.kernel}`);
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
  const vmas = course.vmas.get(space) || [];
  const changed = new Set();
  for (const [of, at, , added] of machine.steps[call - 1].v) {
    if (of === space) added.forEach((_, i) => changed.add(at + i));
  }
  const shown = vmas.slice(0, 400).map((vma, i) => {
    const button = element('button', { type: 'button', class: changed.has(i) ? 'changed' : '' }, vmaText(machine, vma));
    button.onclick = () => look(vma.start * 2 ** machine.page_shift, true);
    return button;
  });
  if (vmas.length > 400) shown.push(`and ${vmas.length - 400} more`);
  if (!vmas.length) shown.push('no VMAs');
  const list = (c) => (c.vmas.get(space) || []).map((vma) => `${vma.start * 2 ** c.machine.page_shift} ${vma.end * 2 ** c.machine.page_shift} ${vma.perms} ${vma.name}`).join();
  const differing = courses.filter((other) => list(other) !== list(course)).map((other) => `${other.machine.arch} ${other.machine.kernel}`);
  if (differing.length) shown.push(`(of ${machine.arch} ${machine.kernel}; other VMAs on ${differing.join(', ')})`);
  byId('vmas').replaceChildren(...shown);
}
function drawSpaces() {
  const spaces = [...new Set(courses.flatMap((course) => [...course.vmas.keys()]))].sort((a, b) => a - b);
  const select = byId('space');
  select.replaceChildren(...spaces.map((id) => element('option', { value: id }, String(id))));
  if (!spaces.includes(space)) space = spaces[0] === undefined ? 1 : spaces[0];
  select.value = space;
}

function show() {
  drawSpaces();
  drawHeader();
  drawMaps();
  decode();
  drawCosts();
  drawTables();
  const va = focus === null || !pinned ? '' : `&va=0x${focus.toString(16)}`;
  history.replaceState(null, '', `#call=${call}${va}`);
}
function goTo(wanted) {
  const next = Math.min(Math.max(1, wanted), data.calls.length);
  if (next === call) return;
  call = next;
  courses.forEach((course) => course.goTo(call));
  const of = machines.map((machine) => machine.steps[call - 1].s).find((of) => of !== null);
  if (of !== undefined) space = of;
  if (!pinned) focus = null;
  show();
}
function look(address, pin) {
  focus = address;
  pinned = pin;
  show();
}
// Passing over a cell redraws only what depends on it.
function pass(address, index) {
  if (pinned || focus === address) return;
  focus = address;
  focusMachine = index;
  markFocus();
  decode();
}

function readHash() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const va = wanted.get('va') && parseAddress(wanted.get('va'));
  const number = Number.parseInt(wanted.get('call'), 10);
  if (va !== null && va !== undefined && va !== '') { focus = va; pinned = true; }
  goTo(Number.isFinite(number) ? number : call || firstToShow());
  if (pinned) show();
}
// Where a report opens: at the first mprotect that changes entries, or the first call that does.
function firstToShow() {
  const changes = (i) => machines.some((machine) => machine.steps[i].c.length);
  const named = data.calls.findIndex(([, , text], i) => changes(i) && data.texts[text].startsWith('mprotect'));
  const any = data.calls.findIndex((_, i) => changes(i));
  return Math.max(named, 0) + 1 > 1 ? named + 1 : Math.max(any, 0) + 1;
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
  const svg = event.target.closest('svg[data-start]');
  if (!svg) return;
  const index = Number(svg.closest('.map').dataset.machine);
  const machine = machines[index], start = Number(svg.dataset.start), end = Number(svg.dataset.end);
  const page = focus === null ? start : Math.min(Math.max(Math.floor(focus / 2 ** machine.page_shift), start), end - 1);
  const entry = courses[index].find(space, page) || { page, pages: 1 };
  const row = page - page % COLUMNS;
  const moves = { ArrowRight: Math.max(entry.page + entry.pages, page + 1), ArrowLeft: Math.max(entry.page, start) - 1, ArrowUp: page - COLUMNS,
    ArrowDown: page + COLUMNS, Home: Math.max(row, start), End: Math.min(row + COLUMNS, end) - 1, Enter: page };
  if (!(event.key in moves)) return;
  event.preventDefault();
  event.stopPropagation();
  const next = focus === null ? page : moves[event.key];
  if (next < start || next >= end) return;
  focus = next * 2 ** machine.page_shift;
  pinned = true;
  focusMachine = index;
  markFocus();
  decode();
  const here = svg.querySelector('.cell.here');
  if (here) here.scrollIntoView({ block: 'nearest' });
  history.replaceState(null, '', `#call=${call}&va=0x${focus.toString(16)}`);
});
byId('maps').addEventListener('focusin', (event) => {
  const svg = event.target.closest('svg[data-start]');
  if (!svg || focus !== null) return;
  const index = Number(svg.closest('.map').dataset.machine);
  pass(Number(svg.dataset.start) * 2 ** machines[index].page_shift, index);
});
document.addEventListener('keydown', (event) => {
  if (event.target.closest('input, select, svg[data-start]') || event.ctrlKey || event.metaKey || event.altKey) return;
  const moves = { ArrowLeft: call - 1, ArrowRight: call + 1, Home: 1, End: data.calls.length };
  if (event.key === 'Escape') { focus = null; pinned = false; show(); return; }
  if (!(event.key in moves)) return;
  event.preventDefault();
  goTo(moves[event.key]);
});
byId('slider').max = data.calls.length;
byId('number').max = data.calls.length;
byId('count').textContent = data.calls.length.toLocaleString('en');
byId('slider').addEventListener('input', () => goTo(Number(byId('slider').value)));
byId('number').addEventListener('change', () => goTo(Number(byId('number').value) || 1));
byId('first').onclick = () => goTo(1);
byId('last').onclick = () => goTo(data.calls.length);
byId('back').onclick = () => goTo(call - 1);
byId('forward').onclick = () => goTo(call + 1);
byId('space').addEventListener('change', () => { space = Number(byId('space').value); focus = null; pinned = false; show(); });
byId('address').addEventListener('change', () => {
  const address = parseAddress(byId('address').value);
  byId('address').setCustomValidity(address === null ? 'An address, as in 0x40000000' : '');
  byId('address').reportValidity();
  if (address !== null) look(address, true);
});
byId('table-details').addEventListener('toggle', drawTables);
window.addEventListener('hashchange', readHash);

const notes = [];
if (!data.recorded) notes.push('This run is too large to record every step: batches, writes and flushes are counted, not placed. Entries are summarised by region.');
const detailed = Math.min(...machines.map((machine) => machine.detailed));
if (detailed < data.calls.length) {
  notes.push(`This run is large: up to call ${detailed.toLocaleString('en')} every entry and step is here; after it, entries are summarised by region, and steps are counted.`);
}
if (!data.finished) notes.push('The run was stopped before its end.');
byId('notes').textContent = notes.join(' ');

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
  byId('legend').replaceChildren(list);
}
// As many maps side by side as there is room for, and as many in each row.
function arrange() {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const room = Math.max(1, Math.floor((byId('maps').clientWidth + 1.2 * rem) / (24.2 * rem)));
  const rows = Math.ceil(machines.length / room);
  byId('maps').style.gridTemplateColumns = `repeat(${Math.ceil(machines.length / rows)}, minmax(0, 1fr))`;
}
window.addEventListener('resize', arrange);
drawLegend();
arrange();
readHash();
})();
