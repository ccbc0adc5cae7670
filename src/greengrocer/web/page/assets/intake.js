// How images come in: chosen, photographed, dropped or pasted, each as a list of files.

const CARRIED = ["Files", "text/uri-list"]; // an image of another page comes as its address

/** Call `take` with the files, which may be none, whenever images come in. */
export function listenForImages(take) {
  listenForChoice(document.querySelector("#choose"), document.querySelector("#chosen"), take);
  listenForChoice(
    document.querySelector("#photograph"), document.querySelector("#photographed"), take,
  );
  listenForPaste(take);
  listenForDrop(document.querySelector("#dropzone"), take);
}

function listenForChoice(button, input, take) {
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = ""; // so that the same file can be chosen again
  });
}

function listenForPaste(take) {
  document.addEventListener("paste", (event) => {
    if (event.target instanceof HTMLInputElement) return; // a key
    event.preventDefault();
    take([...event.clipboardData.files]);
  });
}

function listenForDrop(zone, take) {
  // Without preventDefault the browser would open the dropped file in place of the page.
  const welcome = (event) => {
    if (!CARRIED.some((kind) => event.dataTransfer.types.includes(kind))) return;
    event.preventDefault();
    zone.hidden = false;
  };
  document.addEventListener("dragenter", welcome);
  document.addEventListener("dragover", welcome);
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) zone.hidden = true; // it has left the window
  });
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.hidden = true;
    take([...event.dataTransfer.files]);
  });
}
