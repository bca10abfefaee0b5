// Asks the house by its other names and addresses, over TLS, and says whether this browser
// trusts what it is shown. Nobody can tell a script why a browser did not get an answer; so
// what is certain is said, and the rest is not guessed.
import { $ } from './api.js';

const check = $('check');
const patience = 8000; // milliseconds; a certificate that is not trusted is refused much sooner

/** Whether an origin is reached with a certificate that is trusted: yes, no, or silent. */
async function reaches(origin) {
  const word = await asked(origin);
  // A network that is just joined or left breaks off what is asked; a certificate is refused again.
  return word === 'no' ? new Promise((done) => setTimeout(done, 500)).then(() => asked(origin)) : word;
}

async function asked(origin) {
  const options = { mode: 'cors', credentials: 'omit', cache: 'no-store', redirect: 'error', signal: AbortSignal.timeout(patience) };
  try {
    const answer = await fetch(`${origin}/_gatehouse/api/trusted`, options);
    return answer.ok ? 'yes' : 'silent';
  } catch (error) {
    return error.name === 'TimeoutError' ? 'silent' : 'no';
  }
}

/** What is known, from the answers. */
async function judge() {
  const words = (name) => check.dataset[name].split(' ').filter(Boolean);
  const [alone, same] = await Promise.all([words('alone'), words('same')].map((all) => Promise.all(all.map(reaches))));
  if (alone.includes('yes')) return 'yes';
  const sure = words('alone').map((origin, k) => words('sure').includes(origin) && alone[k] === 'no');
  // This page came from that very host, which therefore is there.
  if (sure.includes(true) || same.includes('no')) return 'no';
  return 'unsure';
}

function show(word) {
  for (const id of ['checking', 'yes', 'no', 'unsure']) $(id).hidden = id !== word;
}

let looking = false;

async function look() {
  if (looking) return;
  looking = true;
  $('again').setAttribute('aria-disabled', 'true');
  show('checking');
  show(await judge());
  $('again').removeAttribute('aria-disabled');
  looking = false;
}

if (check) {
  $('again').hidden = false;
  $('again').addEventListener('click', look);
  addEventListener('pageshow', (event) => event.persisted && look()); // back from the settings
  await look();
}
