/** All operations, by name. */
import * as audit from './audit.ts';
import * as boot from './boot.ts';
import * as config from './config.ts';
import * as gateway from './gateway.ts';
import * as hosts from './hosts.ts';
import * as instances from './instances.ts';
import * as people from './people.ts';
import * as secrets from './secrets.ts';
import * as system from './system.ts';

export const operations = {
  listServices: instances.listServices,
  listInstances: instances.listInstances,
  getInstance: instances.getInstance,
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
  listSites: gateway.listSites,
  getTraffic: gateway.getTraffic,
  planConfig: system.planConfig,
  applyConfig: system.applyConfig,
  getConfig: config.getConfig,
  putConfig: config.putConfig,
  checkConfig: config.checkConfig,
  listConfigVersions: config.listConfigVersions,
  getConfigVersion: config.getConfigVersion,
  rollBackConfig: config.rollBackConfig,
  listFacts: system.listFacts,
  pageFacts: system.pageFacts,
  listHosts: hosts.listHosts,
  getBoot: boot.getBoot,
  runBoot: boot.runBoot,
  listSecrets: secrets.listSecrets,
  setSecret: secrets.setSecret,
  removeSecret: secrets.removeSecret,
  rekeySecrets: secrets.rekeySecrets,
  login: people.login,
  logout: people.logout,
  redeemInvitation: people.redeemInvitation,
  getSelf: people.getSelf,
  changePassword: people.changePassword,
  beginSecondFactor: people.beginSecondFactor,
  confirmSecondFactor: people.confirmSecondFactor,
  removeSecondFactor: people.removeSecondFactor,
  listSessions: people.listSessions,
  revokeSession: people.revokeSession,
  revokeSessions: people.revokeSessions,
  createToken: people.createToken,
  listTokens: people.listTokens,
  revokeToken: people.revokeToken,
  listPeople: people.listPeople,
  createPerson: people.createPerson,
  createAdmin: people.createAdmin,
  updatePerson: people.updatePerson,
  resetPerson: people.resetPerson,
  removePerson: people.removePerson,
  listAudit: audit.listAudit,
  verifyAudit: audit.verifyAudit,
  exportAudit: audit.exportAudit,
  getStatus: system.getStatus,
  getAuthority: system.getAuthority,
  shutDown: system.shutDown,
  upgradeDaemon: system.upgradeDaemon,
} as const;

export type Operations = typeof operations;
export type OperationName = keyof Operations;
