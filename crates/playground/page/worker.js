// The emulator, where it may work without holding up the page. The first message has the module; each one after it is a question.
let module = null, emulator = null;

function asked(question) {
  const bytes = new TextEncoder().encode(question);
  emulator ||= new WebAssembly.Instance(module).exports;
  const at = emulator.room(bytes.length);
  new Uint8Array(emulator.memory.buffer, at, bytes.length).set(bytes);
  const length = emulator.answer();
  return new TextDecoder().decode(new Uint8Array(emulator.memory.buffer, emulator.answered(), length));
}

onmessage = ({ data }) => {
  if (data.module) { module = data.module; return; }
  const begun = performance.now();
  let answer = null;
  try {
    answer = JSON.parse(asked(data.question));
  } catch (error) {
    emulator = null;
    answer = { error: `The emulator stopped (${error.message}). That is a fault of its own: please report this scenario.` };
  }
  postMessage({ answer, took: performance.now() - begun });
};
