// Where conversations come from: compressed pieces in this file, or the server that shows a run while it goes on.

const LIVE = document.body.hasAttribute("data-live");
const KEPT = 8; // Pieces that stay decompressed.
const opened = new Map();

const whole = new Promise((resolve) => {
  if (document.readyState !== "loading") resolve();
  else document.addEventListener("DOMContentLoaded", resolve, { once: true });
});

async function piece(number) {
  if (!opened.has(number)) {
    await whole;
    const text = document.getElementsByClassName("piece")[number].textContent;
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    opened.set(number, await new Response(stream).json());
    if (opened.size > KEPT) opened.delete(opened.keys().next().value);
  }
  return opened.get(number);
}

async function conversation(i) {
  if (!LIVE) return (await piece(Math.floor(i / index.piece)))[i % index.piece];
  const answer = await fetch("attempt" + addressOf(i), { cache: "no-store" });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return answer.json();
}
