/**
 * Apache and Steward answer the same request by the same file in the same way: both are started on it, with the same upstreams
 * behind, and what clients, upstreams and logs get is compared. apache/compare.ts names what may differ.
 *
 * STEWARD_ONLY=words runs the cases whose name has them; STEWARD_RECORD=1 prints what Apache answers and starts no Steward.
 */
import { describe } from 'node:test';
import { fileCases } from './apache/cases-files.ts';
import { proxyCases } from './apache/cases-proxy.ts';
import { rewriteCases } from './apache/cases-rewrite.ts';
import { randomCases } from './apache/random.ts';
import { testCases, useBench } from './apache/run.ts';

const bench = useBench();

describe('requests handed on', () => testCases(bench, proxyCases));
describe('files, redirects and access', () => testCases(bench, fileCases));
describe('rewrite rules', () => testCases(bench, rewriteCases));
describe('random files', () => testCases(bench, randomCases(20_261_121, 40, 15)));
