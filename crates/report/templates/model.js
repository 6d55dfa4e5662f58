// What a report shows, as plain state: the calls, the machines, and what each machine holds after any call.

// Large data are packed: base64 of gzip.
async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).json();
}
const byId = (id) => document.getElementById(id);
const KIND = { batch: 0, write: 1, fold: 2, unfold: 3, flush: 4, flushAll: 5, singles: 6 };
const SOFT = 1 << 16;
const MAX_CELLS = 4096;      // entries of a machine that are drawn one by one
const WINDOW = 1024;         // around the place that is looked at, where there are more
const MAX_REGIONS = 60;      // regions drawn as bars
const CHECKPOINT = 512;      // calls between two kept states

let data = null, machines = [], courses = [], ATTR = {};
let call = 0;                // from 1 on screen
let space = 1;
let focus = null;            // address that is looked at, in bytes
let pinned = false;          // it was asked for, not only passed over
let focusMachine = 0;

// Takes over the data of a run. A step has what differs from the machine before, or from the call before; its pages count from its first.
function load(of) {
  data = of;
  machines = data.machines;
  ATTR = Object.fromEntries(data.attributes.map((name, i) => [name, 1 << i]));
  for (const machine of machines) machine.steps = [];
  let lastSpace = null;
  for (const steps of data.steps) {
    let full = { b: 0, o: 0, x: false, s: lastSpace, c: [], v: [], e: [], h: [], m: 0, w: [], y: [], k: 0 };
    steps.forEach((step, m) => {
      full = { ...full, ...step };
      if (m === 0) lastSpace = full.s;
      const { b } = full;
      machines[m].steps.push({
        ...full,
        i: machines[m].instructions[full.k] ?? null,
        c: full.c.map(([space, page, flat]) => [space, page + b, flat]),
        v: full.v.map(([space, at, removed, added]) => [space, at, removed, added.map(([page, ...area]) => [page + b, ...area])]),
        h: full.h.map(([kind, page, n]) => [kind, kind === KIND.flushAll ? page : page + b, n]),
        w: full.w.map(([space, page, pages, reasons]) => [space, page + b, pages, reasons]),
      });
    });
  }
  const { lines, pids, texts } = data.calls;
  let line = 0;
  data.calls = lines.map((further, i) => [line += further, pids[i], texts[i]]);
  courses = machines.map((machine) => new Course(machine));
}
const machineName = (machine) => `${machine.arch} ${machine.kernel}`;
const nameOf = (at) => data.texts[data.calls[at][2]].split('(')[0];

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
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value); else node.setAttribute(key, value);
  }
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
  if (!/^(0x)?[0-9a-f]+$/i.test(clean)) return null;
  const value = parseInt(clean, 16);
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
        ({ start, end: start + length, perms: data.texts[perms], flags: this.machine.flags[flags], name: data.texts[name] }));
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
  // Pieces are five numbers each where steps have details, and two where they have none.
  * pieces(flat, at = this.at) {
    const numbers = at < this.machine.detailed ? 5 : 2;
    for (let i = 0; i < flat.length; i += numbers) yield flat.slice(i, i + numbers);
  }
  entryPages(word) { return this.machine.entry_pages[this.machine.words[word][1]]; }
  change(space, start, flat) {
    const pieces = [];
    let page = start;
    for (const [n, word, folio = 0, offset = 0, flags = 0] of this.pieces(flat)) {
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

