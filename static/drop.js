// A place to drop a file, with a button to choose one for those who do not drag.

/**
 * @param {HTMLElement} place
 * @param {HTMLInputElement} input of type file, inside the place
 * @param {(file: File) => void} taken
 */
export function takeFiles(place, input, taken) {
  let depth = 0; // of elements inside the place that the pointer has entered
  const mark = (change) => {
    depth = change === 0 ? 0 : depth + change;
    place.classList.toggle("over", depth > 0);
  };
  input.addEventListener("change", () => {
    if (input.files.length) taken(input.files[0]);
    input.value = ""; // the same file again is a change again
  });
  place.addEventListener("dragenter", () => mark(1));
  place.addEventListener("dragleave", () => mark(-1));
  place.addEventListener("dragover", (event) => event.preventDefault());
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(0);
    const [file] = event.dataTransfer.files;
    if (file && !input.disabled) taken(file);
  });
}

/** A file that misses its place would replace the page, and end the picture. */
export function keepPage() {
  for (const name of ["dragover", "drop"]) {
    window.addEventListener(name, (event) => event.preventDefault());
  }
}
