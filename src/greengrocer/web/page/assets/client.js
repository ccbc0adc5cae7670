// The client of the service: its endpoints, and each way in which a request can fail.

import { authorization, wantKey } from "./key.js";
import { sentence } from "./words.js";

const TRIES = 6; // while the service is busy and sends Retry-After
const LONGEST_WAIT = 20; // seconds

/** Why there is no answer. `wait` is in seconds: 0 where the service named none. */
export class Refused extends Error {
  constructor(title, detail, { mayPass = true, wait = 0 } = {}) {
    super(sentence(detail));
    this.title = title;
    this.mayPass = mayPass; // the same image may be answered another time
    this.wait = wait;
  }
}

/** The answer for an image's file; calls `onBusy` before it waits. Throws Refused. */
export async function predict(file, signal, onBusy) {
  for (let left = TRIES - 1; ; left -= 1) {
    try {
      const body = new FormData();
      body.append("file", file);
      const options = { method: "POST", body, signal };
      return await ask("predict?explain=true", (response) => response.json(), options);
    } catch (refused) {
      if (!refused.wait || left === 0) throw refused;
      onBusy();
      await pause(Math.min(refused.wait, LONGEST_WAIT), signal);
    }
  }
}

/** An image to try: its file, its true class, and whether it is a drawing. Throws Refused. */
export function fetchRandomImage(signal) {
  const read = async (response) => ({
    file: await response.blob(),
    truth: decodeURIComponent(response.headers.get("X-Class")),
    drawn: response.headers.get("X-Gallery") === "built-in",
  });
  return ask("random-image", read, { signal });
}

/** The names of the classes. Throws Refused. */
export function fetchClasses() {
  return ask("class-names", async (response) => (await response.json()).classes);
}

async function ask(path, read, options) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: authorization() });
    if (response.ok) return await read(response);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const detail = "the service could not be reached: check the connection, then try again";
    throw new Refused("The service did not answer", detail);
  }
  throw await refusal(response);
}

/** What a refusal says in its problem document (RFC 9457), or its status without one. */
async function refusal(response) {
  if (response.status === 401) {
    wantKey();
    return new Refused("An API key is needed", "enter one above: then the request is sent again");
  }
  const { title, detail } = await response.json().catch(() => ({}));
  return new Refused(title ?? "Something went wrong", detail ?? `status ${response.status}`, {
    mayPass: response.status === 408 || response.status === 429 || response.status >= 500,
    wait: Number(response.headers.get("Retry-After")),
  });
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}
