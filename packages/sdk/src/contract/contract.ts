/** All operations, by name. */
import * as boot from './boot.ts';
import * as gateway from './gateway.ts';
import * as instances from './instances.ts';
import * as system from './system.ts';

export const operations = {
  listInstances: instances.listInstances,
  startInstances: instances.startInstances,
  stopInstances: instances.stopInstances,
  restartInstances: instances.restartInstances,
  signalInstances: instances.signalInstances,
  reloadServices: instances.reloadServices,
  scaleService: instances.scaleService,
  runCommand: instances.runCommand,
  forgetRun: instances.forgetRun,
  getEnvironment: instances.getEnvironment,
  readLogs: instances.readLogs,
  getTraffic: gateway.getTraffic,
  planConfig: system.planConfig,
  applyConfig: system.applyConfig,
  listFacts: system.listFacts,
  getBoot: boot.getBoot,
  runBoot: boot.runBoot,
  getStatus: system.getStatus,
  getAuthority: system.getAuthority,
  shutDown: system.shutDown,
  upgradeDaemon: system.upgradeDaemon,
} as const;

export type Operations = typeof operations;
export type OperationName = keyof Operations;
