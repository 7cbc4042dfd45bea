/** A program that writes entries until it is killed; a dot for each, once it is written. For the test that kills it. */
import { openStore } from '../store/store.ts';
import { createAudit } from './audit.ts';

const store = openStore(process.argv[2] as string, (error) => {
  throw error;
});
const audit = createAudit({ store, now: () => Date.now() });
const deed = { as: 'person', who: 'ada', via: 'test', from: '', action: 'stopInstances', object: 'web', details: {} };
for (;;) {
  audit.begin(deed)('done');
  process.stdout.write('.');
}
