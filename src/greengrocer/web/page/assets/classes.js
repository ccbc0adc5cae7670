// The list of the model's classes, fetched when it is opened.

import { fetchClasses } from "./client.js";
import { plain } from "./words.js";

/**
 * Fill the paragraph of `details` whenever it is opened: another model may serve by then.
 * Returns a function that fills it again where it is open.
 */
export function listClasses(details) {
  const place = details.querySelector("p");
  const fill = async () => {
    if (!details.open) return;
    try {
      const names = (await fetchClasses()).map(plain).sort((a, b) => a.localeCompare(b));
      place.textContent = `${names.length} things: ${names.join(", ")}.`;
    } catch (refused) {
      place.textContent = `${refused.title}. ${refused.message}`;
    }
  };
  details.addEventListener("toggle", fill);
  return fill;
}
