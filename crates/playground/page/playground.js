// The playground: what is written runs as it is written, and the report of it stands under it.

const SLOW = 1500;           // milliseconds that a run may hold up what was written after it
let runner = null, latest = 0, shownRun = '';

const chosenOf = (id) => [...byId(id).querySelectorAll('input:checked')].map((box) => box.value).join();
const chosenMachines = () => ({ ports: chosenOf('ports'), kernels: chosenOf('kernels') });
const say = (text) => { byId('status').textContent = text; };

function drawChoice(id, word, names, wanted) {
  const set = byId(id).querySelector('fieldset');
  set.replaceChildren(set.querySelector('legend'), ...names.map((name) => {
    const box = element('input', { type: 'checkbox', value: name, onchange: () => { sumUp(id, word); run(); } });
    box.checked = wanted.includes(name);
    return element('label', {}, box, ` ${name}`);
  }));
  sumUp(id, word);
}
function sumUp(id, word) { byId(id).querySelector('summary').textContent = `${word}: ${chosenOf(id).replaceAll(',', ', ') || 'none'}`; }
function choose(ports, kernels) {
  drawChoice('ports', 'Ports', about.ports, ports);
  drawChoice('kernels', 'Kernels', about.kernels, kernels);
}

function drawExamples() {
  const groups = Map.groupBy ? Map.groupBy(about.examples, (one) => one.concept) : grouped(about.examples);
  const option = (one) => element('option', { value: one.name }, one.name.replaceAll('-', ' '));
  byId('example').replaceChildren(element('option', { value: '' }, 'your own'),
    ...[...groups].map(([concept, all]) => element('optgroup', { label: concept }, ...all.map(option))));
}
function grouped(all) {
  const groups = new Map();
  for (const one of all) groups.set(one.concept, [...(groups.get(one.concept) || []), one]);
  return groups;
}
function openExample(name) {
  const one = about.examples.find((example) => example.name === name);
  if (one) write(one.text);
}
// Puts a text in the editor's place, as if it were written there.
function write(text, wanted) {
  byId('text').value = text;
  offered = [];
  drawOffered();
  edited(wanted);
}

// Runs what is written. The latest text wins: what is under way is waited for, or ended where it is slow.
let wantedPlace = {}, slowly = 0, isStopped = false;
async function run() {
  const mine = latest += 1;
  const asked = performance.now();
  if (runner.waiting) {
    clearTimeout(slowly);
    slowly = setTimeout(() => { if (mine === latest) runner.stop(); }, SLOW);
    try { await runner.waiting; } catch { /* it was ended for this one */ }
  }
  if (mine !== latest) return;
  clearTimeout(slowly);
  const machines = chosenMachines();
  if (!machines.ports || !machines.kernels) { say('Choose a port and a kernel.'); return; }
  const isLong = setTimeout(() => { say('Running…'); byId('stop-run').hidden = false; }, 300);
  try {
    const { answer, took } = await runner.ask({ ask: 'run', scenario: byId('text').value, machines });
    if (mine === latest) answered(answer, took, asked);
  } catch (error) {
    if (mine === latest) say(isStopped ? 'Stopped.' : String(error.message));
  } finally {
    clearTimeout(isLong);
    isStopped = false;
    byId('stop-run').hidden = true;
  }
}
function answered(answer, took, asked) {
  mistakes = answer.mistakes || [];
  drawMistakes(answer.omitted);
  byId('report').classList.toggle('stale', !answer.data);
  byId('explain').hidden = true;
  if (answer.data && !answer.data.calls.lines.length) {
    byId('report').hidden = true;
    say('No calls yet. Ctrl-Space offers names.');
  } else if (answer.data) {
    showRun(answer, took);
  } else {
    say(answer.error || `${plural(mistakes.length + (answer.omitted || 0), 'mistake')}, ${data ? 'the last run without is shown' : 'nothing to show yet'}.`);
  }
  drawEditor();
  // For whoever measures: from the edit to what came of it.
  performance.measure('answer', { start: asked });
}
function showRun(answer, took) {
  byId('report').hidden = false;
  const same = data && shownRun === byId('example').value && data.calls.length === answer.data.calls.lines.length;
  const kept = same ? { call, address: pinned ? focus : null } : {};
  shownRun = byId('example').value;
  const wanted = { ...kept, ...wantedPlace };
  wantedPlace = {};
  open(answer.data, () => wanted);
  const { ports, kernels } = chosenMachines();
  const notes = answer.notes.concat(`${plural(data.calls.length, 'call')} on ${plural(machines.length, 'machine')}, run in ${took.toFixed(0)} ms.`);
  say(notes.join(' '));
  byId('status').title = `${ports}; ${kernels}`;
}
function edited(wanted = {}) {
  const text = byId('text').value, example = about.examples.find((one) => one.text === text);
  byId('example').value = example ? example.name : '';
  byId('what').textContent = example ? example.concept : '';
  wantedPlace = wanted;
  mistakes = [];
  drawEditor();
  drawHint();
  keepLink();
  return run();
}

// A link holds everything: the text, the machines, and where one looks.
function stateText() {
  const { ports, kernels } = chosenMachines();
  return JSON.stringify([byId('text').value, ports, kernels, call, focus !== null && pinned ? focus : null]);
}
let linking = 0, ownHash = '';
function keepLink() {
  clearTimeout(linking);
  linking = setTimeout(async () => {
    ownHash = `#s=${await packedText(stateText())}`;
    history.replaceState(null, '', ownHash);
  }, 250);
}
async function readLink() {
  const packed = new URLSearchParams(location.hash.slice(1)).get('s');
  if (!packed) return null;
  try {
    const [text, ports, kernels, at, address] = JSON.parse(await unpackedText(packed));
    const known = (names, all) => String(names).split(',').filter((name) => all.includes(name));
    return { text: String(text), ports: known(ports, about.ports), kernels: known(kernels, about.kernels),
      wanted: { call: Number.isInteger(at) ? at : null, address: Number.isSafeInteger(address) ? address : null } };
  } catch {
    say('The link is damaged: it is passed over.');
    return null;
  }
}
async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied.`);
  } catch {
    byId('mail-text').value = text;
    byId('mail').showModal();
    byId('mail-text').select();
  }
}
async function copyMail() {
  const { answer } = await runner.ask({ ask: 'mail', scenario: byId('text').value, machines: chosenMachines() });
  if (answer.text) copy(answer.text, 'Text'); else say(answer.error || 'There are mistakes to mend first.');
}
async function copyLink() {
  copy(`${location.href.split('#')[0]}#s=${await packedText(stateText())}`, 'Link');
}

// What an entry went through, when one is picked.
hooks.moved = () => { drawEditor(); keepLink(); if (focus === null) byId('explain').hidden = true; };
hooks.picked = async (of, address, at) => {
  const question = { ask: 'explain', scenario: byId('text').value, machines: chosenMachines(), pid: of, address, call: at };
  const { answer } = await runner.ask(question);
  if (focus !== address || call !== at) return;
  byId('explain').hidden = false;
  byId('explain-heading').textContent = `What the entry for 0x${address.toString(16)} went through, to call ${at}`;
  byId('explained').textContent = answer.text || answer.error || 'The scenario has mistakes.';
};

// A worker of its own runs random programs, some at a time, so that it can say how far it is.
let fuzzer = null, foundText = '', fuzzRuns = false;
async function fuzz(module) {
  fuzzer ||= new Emulator(module);
  const seed = Number(byId('fuzz-seed').value) || 0, bug = byId('fuzz-on').value || null, machines = chosenMachines();
  const begun = performance.now();
  let done = 0, cases = 1;
  fuzzRuns = true;
  showFuzz({});
  try {
    while (fuzzRuns) {
      const { answer, took } = await fuzzer.ask({ ask: 'fuzz', machines, bug, seed, from: done, cases });
      if (answer.error) { showFuzz({ text: answer.error }); break; }
      done += answer.cases;
      const each = (performance.now() - begun) / 1000 / done;
      const text = `${plural(done, 'program')}, ${(1 / each).toFixed(0)} a second, `;
      if (answer.found) { showFuzz({ text: `${text}and this is the first that breaks a check:`, found: answer.found }); break; }
      showFuzz({ text: `${text}nothing found` });
      cases = Math.max(1, Math.round(cases * Math.min(Math.max(200 / Math.max(took, 1), .25), 4)));
    }
  } catch {
    byId('fuzz-status').textContent += ' (stopped)';
  }
  fuzzRuns = false;
  byId('fuzz-start').disabled = false;
  byId('fuzz-stop').disabled = true;
}
function showFuzz({ text = '', found = null }) {
  byId('fuzz-start').disabled = fuzzRuns;
  byId('fuzz-stop').disabled = !fuzzRuns;
  byId('fuzz-status').textContent = text;
  byId('fuzz-found').hidden = byId('fuzz-open').hidden = !found;
  if (!found) return;
  foundText = found.scenario;
  byId('fuzz-found').textContent = `case ${found.case}, ${found.check}, on ${found.machine}\n${found.text}\n\n${found.scenario}`;
}

function listen(module) {
  const field = byId('text');
  field.addEventListener('input', () => { edited(); offer(false); });
  field.addEventListener('keydown', editorKey);
  field.addEventListener('blur', () => { offered = []; drawOffered(); });
  field.addEventListener('click', toCallAtCaret);
  document.addEventListener('selectionchange', () => { if (document.activeElement === field) drawHint(); });
  byId('example').addEventListener('change', () => openExample(byId('example').value));
  byId('copy-link').onclick = copyLink;
  byId('copy-mail').onclick = copyMail;
  byId('stop-run').onclick = () => { isStopped = true; runner.stop(); };
  byId('fuzz-start').onclick = () => fuzz(module);
  byId('fuzz-stop').onclick = () => { fuzzRuns = false; fuzzer.stop(); };
  byId('fuzz-open').onclick = () => { write(foundText); field.focus(); };
  window.addEventListener('hashchange', async () => {
    if (location.hash === ownHash) return;
    const link = await readLink();
    if (link) { choose(link.ports, link.kernels); write(link.text, link.wanted); }
  });
}
// A click on a line of the text goes to its call.
function toCallAtCaret() {
  if (!data || byId('report').classList.contains('stale')) return;
  const line = byId('text').value.slice(0, byId('text').selectionStart).split('\n').length;
  const at = data.calls.findIndex(([of]) => of === line);
  if (at >= 0 && data.calls[call - 1][0] !== line) goTo(at + 1);
}

(async () => {
  try {
    const module = await compiled();
    runner = new Emulator(module);
    about = (await runner.ask({ ask: 'about' })).answer;
    drawExamples();
    byId('fuzz-on').append(...about.bugs.map((bug) => element('option', { value: bug.name, title: bug.what }, `${bug.name}, a bug of ${bug.port}`)));
    const link = await readLink();
    choose(link ? link.ports : about.default_ports, link ? link.kernels : about.default_kernels);
    byId('decode').after(byId('explain'));
    listen(module);
    write(link ? link.text : about.examples[0].text, link ? link.wanted : {});
  } catch (error) {
    say(`The emulator cannot start here: ${error.message}`);
  }
})();
