// The two things that every part of the page does with the document.

export const $ = (selector) => document.querySelector(selector);

export function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
