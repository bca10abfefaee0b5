// Goes on as soon as Home Assistant answers again.
import { ask } from './api.js';

for (;;) {
  await new Promise((done) => setTimeout(done, 2000));
  const answer = await ask('ready').catch((error) => ({ ready: error.word === 'signed-out' }));
  if (answer.ready) break;
}
location.reload();
