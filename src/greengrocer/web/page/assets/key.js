// The API key, asked for when the service needs one, and kept for this browser tab.

const NAME = "greengrocer-key";
const form = document.querySelector("#key");
const input = form.querySelector("input");

const link = document.querySelector("#link"); // to a page for which a browser sends no key

let key = stored();
link.hidden = Boolean(key);

/** The header that shows the key, where there is one. */
export function authorization() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** Ask for a key: none was sent, or one that the service does not know. */
export function wantKey() {
  form.querySelector("label").textContent = key
    ? "The service does not know this key. Enter another:"
    : "This service needs an API key:";
  link.hidden = true;
  if (!form.hidden) return;
  form.hidden = false;
  input.focus();
}

/** Call `act` whenever a key was entered. */
export function onKey(act) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keep(input.value.trim());
    input.value = "";
    form.hidden = true;
    act();
  });
}

function keep(text) {
  key = text;
  try {
    sessionStorage.setItem(NAME, text);
  } catch {
    // The browser stores nothing here: the key lasts until the page is closed.
  }
}

function stored() {
  try {
    return sessionStorage.getItem(NAME);
  } catch {
    return null;
  }
}
