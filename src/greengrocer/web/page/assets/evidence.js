// A map of evidence as a translucent image to lay over another: the twin of
// greengrocer/imaging/overlay.py, which a test compares it with.

// From nothing to the most: dark violet, magenta, orange, pale yellow. Lightness only rises, so
// that the order survives in grey and for colour-blind eyes.
const STOPS = [0, 0.35, 0.7, 1];
const RAMP = [[46, 16, 101], [190, 42, 114], [250, 132, 48], [255, 238, 160]];

const OPACITY = 0.75; // of the hottest place: what lies below must stay recognisable
const FALL = 1.5; // how fast the opacity falls with the heat
const LONGEST = 400; // pixels of the canvas; the browser stretches it

/**
 * Draw `evidence` ({shape: [h, w], values}, row by row, in any unit) on `canvas`, which gets the
 * image's `aspect` (width over height). Its range becomes the range of the colours. `box` (left,
 * top, right and bottom, as shares) is the part of the image that it is spread over.
 */
export function drawEvidence(canvas, aspect, { shape: [h, w], values, box = [0, 0, 1, 1] }) {
  canvas.width = Math.ceil(LONGEST * Math.min(1, aspect));
  canvas.height = Math.ceil(LONGEST * Math.min(1, 1 / aspect));
  const sides = [canvas.width, canvas.height, canvas.width, canvas.height];
  const [left, top, right, bottom] = box.map((share, k) => Math.round(share * sides[k]));
  const [width, height] = [Math.max(1, right - left), Math.max(1, bottom - top)];
  const heat = spread(inRange(values), w, h, width, height);
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  heat.forEach((value, i) => pixels.data.set(colour(Math.min(1, Math.max(0, value))), 4 * i));
  context.putImageData(pixels, left, top);
}

function inRange(values) {
  const low = Math.min(...values);
  const range = Math.max(...values) - low;
  return values.map((value) => (range > 0 ? (value - low) / range : 0));
}

/** Red, green, blue and opacity, 0 to 255, for a heat from 0 to 1. */
function colour(heat) {
  const next = Math.max(1, STOPS.findIndex((stop) => heat <= stop));
  const share = (heat - STOPS[next - 1]) / (STOPS[next] - STOPS[next - 1]);
  const mixed = RAMP[next].map((to, k) => RAMP[next - 1][k] + share * (to - RAMP[next - 1][k]));
  return [...mixed, 255 * OPACITY * heat ** FALL];
}

/** A map of w by h positions, smooth between them, at the size of the canvas: first its rows. */
function spread(map, w, h, width, height) {
  const across = weights(w, width);
  const down = weights(h, height);
  const rows = new Float32Array(h * width);
  for (let y = 0; y < h; y += 1) {
    across.forEach((taps, x) => {
      for (const [tap, weight] of taps) rows[y * width + x] += weight * map[y * w + tap];
    });
  }
  const heat = new Float32Array(height * width);
  down.forEach((taps, y) => {
    for (const [tap, weight] of taps) {
      for (let x = 0; x < width; x += 1) heat[y * width + x] += weight * rows[tap * width + x];
    }
  });
  return heat;
}

/** For each of `to` places, the positions among `from` that it is mixed of, and their weights. */
function weights(from, to) {
  return Array.from({ length: to }, (_, place) => {
    const centre = ((place + 0.5) * from) / to - 0.5;
    const first = Math.max(0, Math.ceil(centre - 2));
    const last = Math.min(from - 1, Math.floor(centre + 2));
    const taps = [];
    for (let tap = first; tap <= last; tap += 1) taps.push([tap, cubic(Math.abs(tap - centre))]);
    const sum = taps.reduce((total, [, weight]) => total + weight, 0); // not 1 at the edges
    return taps.map(([tap, weight]) => [tap, weight / sum]);
  });
}

/** Keys' cubic convolution kernel with a = -1/2, as Pillow's BICUBIC, for a distance up to 2. */
function cubic(x) {
  return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : ((-0.5 * x + 2.5) * x - 4) * x + 2;
}
