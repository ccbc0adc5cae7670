// An answer of the model, in words.

import { capital, percent, plain, sentence } from "./words.js";

/**
 * The words for an answer of `/predict`: its level and name, how sure it is, a remark, the `truth`
 * where that is known (with a `verdict`: right, wrong or open), and all of it as it is `spoken`.
 */
export function answerWords(answer, truth) {
  const words = { level: answer.answer.level, ...LEVELS[answer.answer.level](answer) };
  if (truth) Object.assign(words, beside(answer, truth));
  words.spoken = [words.name, words.sure, words.remark, words.truth]
    .filter(Boolean)
    .map(sentence)
    .join(" ");
  return words;
}

const LEVELS = {
  fine(answer) {
    const name = plain(answer.answer.name);
    const kind = answer.coarse && plain(answer.coarse.prediction);
    const sure = capital(`${percent(answer.confidence)} sure`);
    if (!kind || kind === name) return { name, sure };
    return { name, sure, remark: `A kind of ${kind}: ${percent(answer.coarse.confidence)} sure.` };
  },
  coarse(answer) {
    return {
      name: `Some kind of ${plain(answer.answer.name)}`,
      sure: capital(`${percent(answer.coarse.confidence)} sure`),
      remark: `Which kind is hard to say. Perhaps ${plain(answer.prediction)}.`,
    };
  },
  unknown(answer) {
    const why = answer.known !== false
      ? "It could be several things."
      : "It looks like nothing that I have learnt.";
    const guess = `My nearest guess is ${plain(answer.prediction)}.`;
    return { name: "I don’t know this", remark: `${why} ${guess}` };
  },
};

function beside(answer, truth) {
  if (answer.answer.level !== "fine") return { truth: `It is ${truth}.`, verdict: "open" };
  const right = plain(answer.answer.name) === truth;
  return right
    ? { truth: `Right: it is ${truth}.`, verdict: "right" }
    : { truth: `Wrong: it is ${truth}.`, verdict: "wrong" };
}
