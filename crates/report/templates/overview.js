// All calls at a glance: a strip of them by cost and name, which of them one goes through, and the most expensive of those.

const NAMES_WITH_COLOUR = 6;
const STRIP_COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#b08900', '#56b4e9', '#8a8f98'];
const STRIP_HEIGHT = 44;
const MIN_CALLS = 8;         // below that, a strip says nothing

let costOf = [];             // of each call, on the machine where it took most
let spreadOf = [];           // how far the kernels of one port are apart in that; machines, where each is of another port
let chosen = [];             // calls that pass the filters, from 1
let stripNames = [];

function prepareOverview() {
  const sums = data.costs.map((counted) => counted.reduce((sum, [, n]) => sum + n, 0));
  const spread = (sums) => Math.max(...sums) - Math.min(...sums);
  const ports = [...new Set(machines.map((machine) => machine.arch))];
  const groups = ports.length === machines.length ? [machines.map((_, m) => m)]
    : ports.map((arch) => machines.flatMap((machine, m) => (machine.arch === arch ? [m] : [])));
  costOf = []; spreadOf = [];
  const byName = new Map(), byProcess = new Map();
  data.calls.forEach(([, pid], at) => {
    const of = machines.map((machine) => sums[machine.steps[at].k]);
    costOf.push(Math.max(...of));
    spreadOf.push(Math.max(...groups.map((group) => spread(group.map((m) => of[m])))));
    const name = nameOf(at), known = byName.get(name) || [0, 0];
    byName.set(name, [known[0] + 1, known[1] + costOf[at]]);
    byProcess.set(pid, (byProcess.get(pid) || 0) + 1);
  });
  stripNames = [...byName].sort(([, [, a]], [, [, b]]) => b - a).slice(0, NAMES_WITH_COLOUR).map(([name]) => name);
  const option = (value, text) => element('option', { value }, text);
  const names = [...byName].sort(([a], [b]) => a.localeCompare(b));
  byId('filter').replaceChildren(option('', 'every call'), ...names.map(([name, [n]]) => option(name, `${name} (${n.toLocaleString('en')})`)));
  byId('filter-process').replaceChildren(option('', 'every process'), ...[...byProcess].map(([pid, n]) => option(pid, `process ${pid} (${n.toLocaleString('en')})`)));
  byId('by-process').hidden = byProcess.size < 2;
  byId('overview').hidden = data.calls.length < MIN_CALLS;
  const key = stripNames.concat(byName.size > stripNames.length ? ['other calls'] : []);
  byId('strip-key').replaceChildren(...key.map((name, i) => {
    const mark = element('i', {});
    mark.style.background = STRIP_COLOURS[i];
    return element('li', {}, mark, name);
  }));
  filterCalls();
}
function filterCalls() {
  const name = byId('filter').value, pid = byId('filter-process').value;
  chosen = [];
  data.calls.forEach(([, of], at) => {
    if ((!name || nameOf(at) === name) && (!pid || String(of) === pid)) chosen.push(at + 1);
  });
  byId('filtered').textContent = name || pid ? plural(chosen.length, 'call') : '';
}
// The next call after this one that passes the filters, or the one before it.
function neighbour(step) {
  return step > 0 ? chosen.find((at) => at > call) : chosen.findLast((at) => at < call);
}
// The most expensive call that passes the filters; asked again there, the next.
let lastExpensive = 0;
function nextExpensive() {
  const order = chosen.slice().sort((a, b) => costOf[b - 1] - costOf[a - 1] || a - b);
  lastExpensive = order[call === lastExpensive ? (order.indexOf(call) + 1) % order.length : 0];
  return lastExpensive;
}
// Where a report opens: at a call that is not as expected; else, of those that leave something to look at, where machines differ most,
// or, where none do, at the most expensive that changes entries.
function mostInteresting() {
  const any = (at, has) => Number(machines.some((machine) => has(machine.steps[at])));
  const rank = (at) => [any(at, (step) => step.x), 1 - any(at, (step) => step.e.length), spreadOf[at], any(at, (step) => step.c.length), costOf[at]];
  let best = 0, most = rank(0);
  for (let at = 1; at < data.calls.length; at += 1) {
    const of = rank(at), differs = of.findIndex((value, i) => value !== most[i]);
    if (differs >= 0 && of[differs] > most[differs]) [best, most] = [at, of];
  }
  return best + 1;
}

function drawStrip() {
  const canvas = byId('strip'), width = canvas.clientWidth, scale = window.devicePixelRatio || 1;
  if (byId('overview').hidden || !width) return;
  canvas.width = width * scale;
  canvas.height = STRIP_HEIGHT * scale;
  const pen = canvas.getContext('2d');
  pen.scale(scale, scale);
  const most = costOf.reduce((most, cost) => Math.max(most, cost), 1), n = data.calls.length, passes = new Set(chosen);
  const bars = Math.min(n, Math.floor(width / 2)), wide = width / bars;
  for (let bar = 0; bar < bars; bar += 1) {
    const from = Math.floor(bar * n / bars), to = Math.max(from + 1, Math.floor((bar + 1) * n / bars));
    let best = -1;
    for (let at = from; at < to; at += 1) {
      if (passes.has(at + 1) && (best < 0 || costOf[at] > costOf[best])) best = at;
    }
    if (best < 0) continue;
    const place = stripNames.indexOf(nameOf(best));
    const height = Math.max(2, Math.sqrt(Math.min(costOf[best] / most, 1)) * (STRIP_HEIGHT - 8));
    pen.fillStyle = STRIP_COLOURS[place < 0 ? STRIP_COLOURS.length - 1 : place];
    pen.fillRect(bar * wide, STRIP_HEIGHT - height, Math.max(wide - (wide > 4 ? 1 : 0), 1), height);
  }
  pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--changed');
  pen.fillRect(Math.min((call - .5) / n * width, width - 2) - 1, 0, 2, STRIP_HEIGHT);
}
function callAt(event) {
  const box = byId('strip').getBoundingClientRect();
  const at = Math.floor((event.clientX - box.left) / box.width * data.calls.length) + 1;
  const wanted = Math.min(Math.max(at, 1), data.calls.length);
  // Nearest of those that pass, within a bar's width.
  return chosen.reduce((best, one) => (Math.abs(one - wanted) < Math.abs(best - wanted) ? one : best), chosen[0] || wanted);
}
