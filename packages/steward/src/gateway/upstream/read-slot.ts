/**
 * The memory that one upstream connection is read into, used again for each read unless somebody still holds what was read.
 * Node would allocate and release 64 KB for each: a tenth of the cost of a small request.
 */
import type { OnReadOpts } from 'node:net';

const slotBytes = 64 * 1024;

export class ReadSlot {
  /** Where bytes go that have been read; true when they are held on to after the call. */
  onBytes: ((bytes: Buffer) => boolean) | undefined;
  #buffer = Buffer.allocUnsafeSlow(slotBytes);
  #held = false;

  /** For net.connect. */
  readonly options: OnReadOpts = {
    buffer: () => {
      if (this.#held) this.#buffer = Buffer.allocUnsafeSlow(slotBytes);
      this.#held = false;
      return this.#buffer;
    },
    callback: (length: number): boolean => {
      this.#held = this.onBytes?.(this.#buffer.subarray(0, length)) ?? false;
      return true;
    },
  };
}
