// Small previews of pictures.

const SIDE_PX = 320;
const MAX_BYTES = 64 * 1024 * 1024; // a larger file is not decoded
const DECODE_LIMIT_MS = 10_000;

let last = Promise.resolve();

/** A small JPEG of the picture, or null if the browser cannot show it. One picture at a time: a decoded photo is large. */
export function thumbnail(file) {
  last = last.then(() => make(file)).catch(() => null);
  return last;
}

async function make(file) {
  if (file.size > MAX_BYTES) return null;
  const address = URL.createObjectURL(file);
  try {
    return await draw(await load(address));
  } finally {
    URL.revokeObjectURL(address);
  }
}

function load(address) {
  return new Promise((resolve, reject) => {
    const picture = new Image();
    setTimeout(reject, DECODE_LIMIT_MS);
    picture.onload = () => resolve(picture);
    picture.onerror = reject;
    picture.src = address;
  });
}

function draw(picture) {
  const scale = Math.min(1, SIDE_PX / Math.max(picture.naturalWidth, picture.naturalHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.naturalWidth * scale));
  canvas.height = Math.max(1, Math.round(picture.naturalHeight * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // JPEG has no transparency
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.8));
}
