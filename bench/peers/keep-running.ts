/** Runs the command of its arguments again whenever it ends. */
import { spawn } from 'node:child_process';

const [command = '', ...args] = process.argv.slice(2);

function run(): void {
  spawn(command, args, { stdio: 'ignore' }).once('exit', run);
}

run();
