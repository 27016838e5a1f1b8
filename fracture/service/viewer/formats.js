// What a browser can show by itself.

/** Tell whether a browser shows a file as the service reads it: JPEG, and PNG of up to 8 bits; by content. */
export async function isShownLocally(file) {
  const head = new Uint8Array(await file.slice(0, 25).arrayBuffer());
  const starts = (...bytes) => bytes.every((byte, index) => head[index] === byte);
  return starts(0xff, 0xd8, 0xff) || (starts(0x89, 0x50, 0x4e, 0x47) && head[24] <= 8);
}
