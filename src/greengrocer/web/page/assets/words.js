// Names and numbers as text for people.

/** `Golden-Delicious` with spaces. */
export function plain(name) {
  return name.replaceAll("-", " ");
}

/** A share, 0 to 1, that is never rounded to certainty. */
export function percent(share) {
  if (share >= 0.995) return "over 99%";
  if (share < 0.005) return "under 1%";
  return `${Math.round(share * 100)}%`;
}

/** A text that begins with a capital. */
export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A problem's detail, which begins small and ends without a full stop, as a sentence. */
export function sentence(text) {
  return capital(text) + (/[.!?]$/.test(text) ? "" : ".");
}
