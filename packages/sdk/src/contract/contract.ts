/** All operations, by name. */
import * as gateway from './gateway.ts';
import * as instances from './instances.ts';
import * as system from './system.ts';

export const operations = {
  listInstances: instances.listInstances,
  startInstances: instances.startInstances,
  stopInstances: instances.stopInstances,
  restartInstances: instances.restartInstances,
  signalInstances: instances.signalInstances,
  readLogs: instances.readLogs,
  getTraffic: gateway.getTraffic,
  planConfig: system.planConfig,
  applyConfig: system.applyConfig,
  listFacts: system.listFacts,
  getStatus: system.getStatus,
  getAuthority: system.getAuthority,
  shutDown: system.shutDown,
} as const;

export type Operations = typeof operations;
export type OperationName = keyof Operations;
