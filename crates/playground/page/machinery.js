// The emulator as the page has it: workers that are asked one question at a time, and ended where they take too long.

// The module, unpacked and compiled while it is unpacked.
async function compiled() {
  const text = byId('wasm').textContent;
  const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return WebAssembly.compileStreaming(new Response(stream, { headers: { 'Content-Type': 'application/wasm' } }));
}

class Emulator {
  constructor(module) {
    this.module = module;
    this.url = URL.createObjectURL(new Blob([byId('worker').textContent], { type: 'text/javascript' }));
    this.start();
  }
  start() {
    this.worker = new Worker(this.url);
    this.worker.postMessage({ module: this.module });
    this.waiting = null;
  }
  // The answer, and the milliseconds that it took. One question at a time: others wait.
  async ask(question) {
    while (this.waiting) await this.waiting.catch(() => {});
    this.waiting = new Promise((resolve, reject) => {
      this.worker.onmessage = ({ data }) => resolve(data);
      this.worker.onerror = (event) => { event.preventDefault(); reject(new Error(event.message)); };
      this.abandon = () => reject(new Error('stopped'));
    });
    this.worker.postMessage({ question: JSON.stringify(question) });
    const waiting = this.waiting;
    try { return await waiting; } finally { if (this.waiting === waiting) this.waiting = null; }
  }
  // Ends what is under way: whoever waits for it gets an error.
  stop() {
    if (!this.waiting) return;
    this.worker.terminate();
    const { abandon } = this;
    this.start();
    abandon();
  }
}

// Text as base64 that may stand in an address, packed, and back.
async function piped(bytes, stream) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}
async function packedText(text) {
  const bytes = await piped(new TextEncoder().encode(text), new CompressionStream('deflate-raw'));
  const chars = Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
  return btoa(chars).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
async function unpackedText(packed) {
  const bytes = Uint8Array.from(atob(packed.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
  return new TextDecoder().decode(await piped(bytes, new DecompressionStream('deflate-raw')));
}
