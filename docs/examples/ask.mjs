// What does a photo show? For browsers and Node.js alike.

const ATTEMPTS = 5;
const FULL = [429, 503]; // what is refused otherwise is not worth asking again

/** The service's answer for a Blob or File; throws an Error that says why there is none. */
export async function ask(image, url = "") {
  const form = new FormData();
  form.append("file", image);
  for (let left = ATTEMPTS - 1; ; left--) {
    const response = await fetch(`${url}/predict`, { method: "POST", body: form });
    if (response.ok) return response.json();
    if (!FULL.includes(response.status) || left === 0) {
      const problem = await response.json();
      throw new Error(`${problem.code}: ${problem.detail}`);
    }
    const seconds = Number(response.headers.get("Retry-After") ?? 1);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}
