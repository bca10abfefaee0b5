// The page of an invitation.
import { $, ask, during, entitle, words } from './api.js';
import * as passkey from './passkey.js';
import { showApp, showCodes } from './secrets.js';

const page = $('invite').dataset;
const title = $('title').textContent;
const who = () => ({ invite: page.code, name: $('name')?.value ?? '' });

let ceremony; // of the authenticator app

$('by-script').hidden = false;
if (page.passkeys === 'true' && passkey.works) $('by-passkey').hidden = false;
else $('app').classList.add('primary');

// Two buttons send one form, so that the name is asked for by the browser; Enter in the
// name's field means the first of them that is shown.
$('by-script').addEventListener('submit', (event) => {
  event.preventDefault();
  const byPasskey = event.submitter ? event.submitter === $('passkey') : !$('by-passkey').hidden;
  if (byPasskey && !$('by-passkey').hidden) makePasskey();
  else beginApp();
});

async function makePasskey() {
  const error = await during($('passkey'), async () => {
    const begun = await ask('invite/passkey/begin', who());
    done(await ask('invite/passkey', { ...who(), ...(await passkey.create(begun)) }));
  });
  if (error) $('app').focus(); // the way on that works everywhere
}

function beginApp() {
  during($('app'), async () => {
    const app = await ask('invite/totp/begin', who());
    ceremony = app.id;
    showApp(app);
    $('choose').hidden = true;
    $('by-app').hidden = false;
    entitle(words.appTitle);
  });
}

$('app-cancel').addEventListener('click', () => {
  $('by-app').hidden = true;
  $('choose').hidden = false;
  entitle(title);
});

$('by-app').addEventListener('submit', (event) => {
  event.preventDefault();
  during(event.submitter ?? $('by-app'), async () => {
    done(await ask('invite/totp', { ...who(), id: ceremony, code: $('app-code').value }));
  }).then((error) => error && $('app-code').select());
});

/** Shows what is shown once, if anything, and goes on. */
function done({ recovery, app }) {
  if (!recovery) {
    location.replace('/');
    return;
  }
  $('choose').hidden = $('by-app').hidden = true;
  if (app) {
    showApp(app, 'codes-app');
    $('codes-app').hidden = false;
  }
  showCodes(recovery);
  entitle(words.codesTitle);
  $('codes-done').addEventListener('click', () => location.replace('/'));
}
