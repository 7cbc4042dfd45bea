/** All methods by name, and the one way in to them. */
import { mayAnywhere } from '../../identity/identity.ts';
import { Fault } from './faults.ts';
import { type Call, type Method, type Methods, requireWhole, textFrom } from './method.ts';
import { daemonMethods } from './methods/daemon.ts';
import { logMethods } from './methods/logs.ts';
import { processMethods } from './methods/processes.ts';
import type { Value } from './xml.ts';

const supervisorMethods: Methods = { ...daemonMethods, ...processMethods, ...logMethods };

const about = { name: 'name', type: 'string' } as const;

function known(name: Value | undefined): Method {
  const text = textFrom(name);
  const method = Object.hasOwn(methods, text) ? methods[text] : undefined;
  if (method === undefined) throw new Fault('SIGNATURE_UNSUPPORTED');
  return method;
}

/** The methods about methods; `needs: self` is had by all who have anything. */
const systemMethods: Methods = {
  'system.listMethods': {
    needs: 'self',
    parameters: [],
    returns: 'array',
    help: 'The names of all methods.',
    run: () => Object.keys(methods).toSorted(),
  },
  'system.methodHelp': {
    needs: 'self',
    parameters: [about],
    returns: 'string',
    help: 'What a method does.',
    run: ([name]) => known(name).help,
  },
  'system.methodSignature': {
    needs: 'self',
    parameters: [about],
    returns: 'array',
    help: 'The type a method gives back, then those of its parameters.',
    run([name]) {
      const { returns, parameters } = known(name);
      return [returns, ...parameters.map(({ type }) => type)];
    },
  },
  'system.multicall': {
    needs: 'self',
    parameters: [{ name: 'calls', type: 'array' }],
    returns: 'array',
    help: 'Does several calls one after the other: structs of methodName and params. Gives their results, a struct with faultCode and faultString for each that is refused.',
    run: ([calls], call) => multicall(calls, call),
  },
};

export const methods: Methods = { ...supervisorMethods, ...systemMethods };

/** Each member may take a while, and somebody else waits meanwhile. */
const mostCalls = 1000;

async function multicall(calls: Value | undefined, call: Call): Promise<Value> {
  if (!Array.isArray(calls)) throw new Fault('INCORRECT_PARAMETERS');
  if (calls.length > mostCalls) throw new Fault('INCORRECT_PARAMETERS', `more than ${mostCalls} calls`);
  const results: Value[] = [];
  for (const one of calls as readonly Value[]) {
    if (call.signal.aborted) break;
    results.push(await oneOfMany(one, call));
  }
  return results;
}

async function oneOfMany(given: Value, call: Call): Promise<Value> {
  try {
    const { methodName, params = [] } = (typeof given === 'object' ? given : {}) as { methodName?: Value; params?: Value };
    if (methodName === undefined) throw new Fault('INCORRECT_PARAMETERS', 'No methodName');
    if (methodName === 'system.multicall') throw new Fault('INCORRECT_PARAMETERS', 'Recursive system.multicall forbidden');
    if (!Array.isArray(params)) throw new Fault('INCORRECT_PARAMETERS');
    return await dispatch(textFrom(methodName), params as readonly Value[], call);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { faultCode: error.code, faultString: error.message };
  }
}

const isText = (value: Value): value is string => typeof value === 'string';

/** While everything is stopped nothing else is answered. */
function refuseWhileEnding(name: string, { rooms }: Call): void {
  if (name.startsWith('supervisor.') && rooms.system.groups.mood() !== 'running') throw new Fault('SHUTDOWN_STATE');
}

function checkCount({ parameters }: Method, given: readonly Value[]): void {
  const needed = parameters.filter(({ optional }) => !optional).length;
  if (given.length < needed || given.length > parameters.length) throw new Fault('INCORRECT_PARAMETERS');
}

/** What it is about is asked by the method itself; here, whether there can be anything. @throws Fault when there is not. */
function authorize({ needs, over }: Method, call: Call): void {
  if (over === undefined) requireWhole(call, needs);
  else if (!mayAnywhere(call.caller.subject, needs)) throw new Fault('FAILED', `you may not do that: it needs the right "${needs}"`);
}

/** Hands a call on. @throws Fault when it is refused. */
export async function dispatch(name: string, given: readonly Value[], call: Call): Promise<Value> {
  const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
  if (method === undefined) throw new Fault('UNKNOWN_METHOD');
  checkCount(method, given);
  refuseWhileEnding(name, call);
  authorize(method, call);
  const end = method.changes ? call.begin(call.caller, name, given.slice(0, 1).filter(isText)) : undefined;
  try {
    const value = await method.run(given, call);
    end?.('done');
    return value;
  } catch (error) {
    if (error instanceof Fault) end?.('refused', error.message);
    else end?.('failed');
    throw error;
  }
}
