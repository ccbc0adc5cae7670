// The card of an image: the image, and its answer beside it.

import { drawEvidence } from "./evidence.js";
import { percent, plain } from "./words.js";

/** Add a card to `list` for an image's `file`; the caller then sets its state. */
export function addCard(list, caption, file) {
  const card = document.querySelector("#card").content.cloneNode(true).firstElementChild;
  list.append(card);
  const part = (selector) => card.querySelector(selector);
  const address = URL.createObjectURL(file);
  const image = part("img");
  image.addEventListener("error", () => part(".photo").classList.add("blank"));
  image.src = address;
  image.alt = caption;
  part("figcaption").textContent = caption;
  part(".lay").addEventListener("click", () => layEvidence(part));

  return {
    wait(text) {
      begin(card, "waiting");
      part("h2").textContent = text;
    },

    answer(words, { top, evidence }) {
      begin(card, words.level);
      write(part("h2"), words.name);
      write(part(".sure"), words.sure);
      write(part(".remark"), words.remark);
      write(part(".truth"), words.truth);
      part(".truth").dataset.verdict = words.verdict;
      part(".bars").replaceChildren(...top.map(bar));
      part(".bars").hidden = false;
      if (evidence) offerEvidence(part, image, evidence);
    },

    refuse(refused) {
      begin(card, "refused");
      write(part("h2"), refused.title);
      write(part(".remark"), refused.message);
      part(".again").hidden = !refused.mayPass;
    },

    onAgain(act) {
      part(".again").addEventListener("click", () => {
        part("h2").focus(); // the button goes away
        act();
      });
    },

    remove() {
      card.remove();
      URL.revokeObjectURL(address);
    },
  };
}

/** Empty the card for its next state: waiting, a level of the answer, or refused. */
function begin(card, state) {
  card.className = `card ${state}`;
  card.querySelector("article").setAttribute("aria-busy", String(state === "waiting"));
  for (const part of card.querySelectorAll(".words > :not(h2)")) part.hidden = true;
}

function write(place, text) {
  place.textContent = text ?? "";
  place.hidden = !text;
}

function bar({ class: name, confidence }) {
  const item = document.querySelector("#bar").content.cloneNode(true).firstElementChild;
  item.querySelector(".class").textContent = plain(name);
  item.querySelector(".percent").textContent = percent(confidence);
  item.querySelector(".track > span").style.inlineSize = `${confidence * 100}%`;
  return item;
}

async function offerEvidence(part, image, evidence) {
  try {
    await image.decode(); // its size must be known
  } catch {
    return; // an image that the browser cannot show
  }
  drawEvidence(part("canvas"), image.naturalWidth / image.naturalHeight, evidence);
  part(".legend").textContent = `Bright areas count most for ${plain(evidence.class)}.`;
  part(".lay").hidden = false;
}

function layEvidence(part) {
  const laid = part(".lay").getAttribute("aria-pressed") !== "true";
  part(".lay").setAttribute("aria-pressed", String(laid));
  part(".photo").classList.toggle("laid", laid);
  part("canvas").hidden = !laid;
  part(".legend").hidden = !laid;
}
