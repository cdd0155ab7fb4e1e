// What the visitor takes home: the service's PNG, a JPEG made of it here, or a ZIP of many.

const ICC_PART = 65519; // bytes of a profile in one APP2 segment of a JPEG

/** Save a blob under a name. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/**
 * Make a JPEG of a PNG, or null where the browser cannot. Pixels keep their values and get the PNG's colour
 * profile: a canvas would turn a picture in Display P3 into sRGB. What is transparent becomes white.
 */
export async function jpegOf(png) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(png, { colorSpaceConversion: "none" });
  } catch {
    return null;
  }
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d");
  if (!context) return null; // too large for this browser
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const jpeg = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.95));
  const { profile } = await readPng(png);
  return jpeg && profile ? withProfile(jpeg, profile) : jpeg;
}

/** Return a JPEG with this colour profile in place of the one that the browser wrote for the canvas. */
async function withProfile(jpeg, profile) {
  const bytes = new Uint8Array(await jpeg.arrayBuffer());
  const kept = [];
  let at = 2; // after the marker that begins a JPEG come the application's segments, of which APP2 is the profile
  while (bytes[at] === 0xff && (bytes[at + 1] & 0xf0) === 0xe0) {
    const end = at + 2 + bytes[at + 2] * 256 + bytes[at + 3];
    if (bytes[at + 1] !== 0xe2) kept.push(bytes.slice(at, end));
    at = end;
  }
  return new Blob([bytes.slice(0, 2), ...kept, ...profileSegments(profile), bytes.slice(at)], { type: "image/jpeg" });
}

/** Return {profile: colour profile as bytes or null, transparent: whether a PNG has an alpha channel}. */
export async function readPng(blob) {
  let at = 8;
  let transparent = false;
  for (;;) {
    const head = new DataView(await blob.slice(at, at + 8).arrayBuffer());
    if (head.byteLength < 8) return { profile: null, transparent };
    const length = head.getUint32(0);
    const kind = String.fromCharCode(...new Uint8Array(head.buffer, 4));
    const content = new Uint8Array(await blob.slice(at + 8, at + 8 + (kind === "IDAT" ? 0 : length)).arrayBuffer());
    if (kind === "IDAT") return { profile: null, transparent };
    if (kind === "IHDR") transparent = (content[9] & 4) !== 0;
    if (kind === "iCCP") {
      const compressed = content.slice(content.indexOf(0) + 2); // after the name and the method
      const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("deflate"));
      const profile = new Uint8Array(await new Response(stream).arrayBuffer());
      const space = String.fromCharCode(...profile.slice(16, 20));
      return { profile: space === "RGB " ? profile : null, transparent };
    }
    at += 12 + length;
  }
}

function profileSegments(profile) {
  const count = Math.ceil(profile.length / ICC_PART);
  return Array.from({ length: count }, (_, n) => {
    const part = profile.slice(n * ICC_PART, (n + 1) * ICC_PART);
    const head = new Uint8Array(18);
    head.set([0xff, 0xe2, (part.length + 16) >> 8, (part.length + 16) & 255]);
    head.set(new TextEncoder().encode("ICC_PROFILE\0"), 4);
    head.set([n + 1, count], 16);
    return new Blob([head, part]);
  });
}

// --- ZIP ----------------------------------------------------------------------------------------

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

async function crc32(blob) {
  let crc = 0xffffffff;
  for (let at = 0; at < blob.size; at += 1 << 22)
    for (const byte of new Uint8Array(await blob.slice(at, at + (1 << 22)).arrayBuffer()))
      crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function fields(...values) {
  const view = new DataView(new ArrayBuffer(values.reduce((size, [bytes]) => size + bytes, 0)));
  let at = 0;
  for (const [bytes, value] of values) {
    if (bytes === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += bytes;
  }
  return view.buffer;
}

/** Put [[name, blob], ...] into one ZIP without compression: pictures are compressed already. */
export async function zipOf(files) {
  const parts = [];
  const directory = [];
  let at = 0;
  for (const [name, blob] of files) {
    const bytes = new TextEncoder().encode(name);
    // Version 2.0, name in UTF-8, stored, 1 January 1980.
    const common = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 33], [4, await crc32(blob)], [4, blob.size], [4, blob.size], [2, bytes.length], [2, 0]];
    const head = fields([4, 0x04034b50], ...common);
    parts.push(head, bytes, blob);
    directory.push(fields([4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]), bytes);
    at += head.byteLength + bytes.length + blob.size;
  }
  const size = directory.reduce((sum, part) => sum + part.byteLength, 0);
  const end = fields([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, at], [2, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}
