/** What one download is, whoever sends it. */

/** 100 MB. */
export const downloadBytes = 100_000_000;
