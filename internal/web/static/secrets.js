// Shows what is shown once: recovery codes, and the secret of an authenticator app.
import { $, say, words } from './api.js';

/** Fills in the picture, link and key of an authenticator app. */
export function showApp(app, prefix = 'app') {
  $(`${prefix}-qr`).src = app.qr;
  $(`${prefix}-link`).href = app.url;
  $(`${prefix}-secret`).textContent = app.secret.replace(/(.{4})(?=.)/g, '$1 ');
}

/** Shows recovery codes in the part that holds them. */
export function showCodes(codes) {
  $('codes-list').replaceChildren(...codes.map((code) => {
    const item = document.createElement('li');
    item.textContent = code;
    return item;
  }));
  $('codes-for').textContent = location.host;
  $('codes-print').onclick = () => print();
  $('codes-copy').onclick = () => copy(codes.join('\n'));
  $('codes').hidden = false;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say('codes-status', words.copied);
  } catch {
    getSelection().selectAllChildren($('codes-list'));
    say('codes-status', words.copyYourself);
  }
}
