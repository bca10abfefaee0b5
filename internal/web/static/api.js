// Asks the house, and says what it answered in the words of the page.

export const words = JSON.parse(document.getElementById('words').textContent);
export const $ = (id) => document.getElementById(id);

/** Thrown by ask; word is the API's, or a name of a browser's error. */
export class Refusal extends Error {
  constructor(word) {
    super(word);
    this.word = word;
  }
}

/** Asks below /_gatehouse/api/. Without a body it is a GET. */
export async function ask(path, body) {
  const options = { credentials: 'same-origin', cache: 'no-store', redirect: 'error' };
  if (body !== undefined) {
    options.method = 'POST';
    options.headers = { 'Content-Type': 'application/json' };
    options.body = JSON.stringify(body);
  }
  let answer, data;
  try {
    answer = await fetch(`/_gatehouse/api/${path}`, options);
  } catch {
    throw new Refusal('offline');
  }
  try {
    data = await answer.json();
  } catch {
    throw new Refusal('failed'); // nobody who is refused at the door is told more
  }
  if (!answer.ok) throw new Refusal(data.error);
  return data;
}

/** What to say of an error. */
export function sentence(error) {
  const word = error instanceof Refusal ? error.word : error?.name;
  return Object.hasOwn(words.errors, word) ? words.errors[word] : words.errors.failed;
}

/** Puts values where {names} stand. */
export const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '');

/** Says something in a region that screen readers read aloud; the same text twice is said twice. */
export function say(id, text) {
  $(id).textContent = '';
  if (text) requestAnimationFrame(() => ($(id).textContent = text));
}

/** Changes the page's heading, and takes the focus there. */
export function entitle(text) {
  $('title').textContent = text;
  document.title = text;
  $('title').focus();
  scrollTo(0, 0);
}

let busy = false;

/** Does one thing at a time, with its button marked; what goes wrong is said in the region alert. */
export async function during(button, work, alert = 'alert') {
  if (busy) return;
  busy = true;
  button.setAttribute('aria-disabled', 'true');
  say(alert, '');
  try {
    await work();
  } catch (error) {
    say(alert, sentence(error));
    return error;
  } finally {
    busy = false;
    button.removeAttribute('aria-disabled');
  }
}
