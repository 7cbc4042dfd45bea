/**
 * nginx and Steward answer the same request by the same file in the same way: both are started on it, with the same
 * upstreams behind, and what clients, upstreams and logs get is compared. nginx/compare.ts names what may differ.
 *
 * STEWARD_ONLY=words runs the cases whose name has them; STEWARD_RECORD=1 prints what nginx answers and starts no Steward.
 */
import { describe } from 'node:test';
import { fileCases } from './nginx/cases-files.ts';
import { limitCases } from './nginx/cases-limits.ts';
import { locationCases } from './nginx/cases-locations.ts';
import { messageCases } from './nginx/cases-messages.ts';
import { proxyCases } from './nginx/cases-proxy.ts';
import { rewriteCases } from './nginx/cases-rewrite.ts';
import { siteCases } from './nginx/cases-sites.ts';
import { transportCases } from './nginx/cases-transport.ts';
import { randomCases } from './nginx/random.ts';
import { testCases, useBench } from './nginx/run.ts';

const bench = useBench();

describe('locations', () => testCases(bench, locationCases));
describe('rewrite', () => testCases(bench, rewriteCases));
describe('proxy', () => testCases(bench, proxyCases));
describe('files', () => testCases(bench, fileCases));
describe('limits and access', () => testCases(bench, limitCases));
describe('sites', () => testCases(bench, siteCases));
describe('messages', () => testCases(bench, messageCases));
describe('transport', () => testCases(bench, transportCases));
describe('random files', () => testCases(bench, randomCases(20_261_121, 200, 20)));
