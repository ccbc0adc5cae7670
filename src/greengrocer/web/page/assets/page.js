// The page: an image that comes in gets a card with its answer.

import { answerWords } from "./answer.js";
import { addCard } from "./card.js";
import { listClasses } from "./classes.js";
import { fetchRandomImage, predict, Refused } from "./client.js";
import { listenForImages } from "./intake.js";
import { onKey } from "./key.js";
import { lanes } from "./lanes.js";
import { plain } from "./words.js";

const AT_ONCE = 2; // requests in flight
const MOST = 100; // images on the page: each takes the browser's memory

const cards = document.querySelector("#cards");
const model = document.querySelector("#model");
const notice = document.querySelector("#notice");
const status = document.querySelector("#status");

// The requests and cards of the images that are shown; new images replace them.
let current = { controller: new AbortController(), cards: [] };

function begin() {
  current.controller.abort();
  for (const card of current.cards) card.remove();
  current = { controller: new AbortController(), cards: [] };
  notice.hidden = true;
  return current;
}

function say(text) {
  status.textContent = text;
}

function remark(text) {
  notice.textContent = text;
  notice.hidden = false;
  say(text);
}

/** Show files, each with its answer. `truth` is the true name, where it is known. */
async function show(files, batch, { caption, truth } = {}) {
  if (files.length > MOST) remark(`These are the first ${MOST} of ${files.length} images.`);
  const inLane = lanes(AT_ONCE);
  const { signal } = batch.controller;
  const jobs = files.slice(0, MOST).map((file) => {
    const card = addCard(cards, caption ?? file.name, file);
    batch.cards.push(card);
    const job = () => inLane(() => tell(card, file, truth, signal));
    card.onAgain(async () => say((await job()).spoken));
    return job;
  });
  const told = await Promise.all(jobs.map((job) => job()));
  if (signal.aborted) return;
  if (told.length === 1) say(told[0].spoken);
  else say(`${told.length} images: ${told.map(({ name }) => name).join(", ")}.`);
}

/** Put the answer for a file, or its refusal, on its card; returns what a screen reader says. */
async function tell(card, file, truth, signal) {
  if (signal.aborted) return {};
  card.wait("Looking…");
  try {
    const answer = await predict(file, signal, () => card.wait("Busy, one moment…"));
    const words = answerWords(answer, truth);
    card.answer(words, answer);
    model.textContent = `${answer.model.name} ${answer.model.version}`;
    return words;
  } catch (error) {
    if (signal.aborted) return {};
    if (!(error instanceof Refused)) throw error;
    card.refuse(error);
    return { name: error.title, spoken: `${error.title}. ${error.message}` };
  }
}

async function showRandom() {
  const batch = begin();
  const { signal } = batch.controller;
  try {
    const { file, truth, drawn } = await fetchRandomImage(signal);
    const caption = drawn ? "A random image, drawn" : "A random image";
    await show([file], batch, { caption, truth: plain(truth) });
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Refused)) throw error;
    remark(`${error.title}. ${error.message}`);
  }
}

listenForImages((files) => {
  if (files.length) show(files, begin());
  else remark("No image file was received. Save the image first, then choose the file.");
});
document.querySelector("#random").addEventListener("click", showRandom);
const listAgain = listClasses(document.querySelector("#classes"));
onKey(() => {
  notice.hidden = true;
  for (const again of cards.querySelectorAll(".again:not([hidden])")) again.click();
  listAgain();
});
