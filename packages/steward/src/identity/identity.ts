/** Identity: who asks, and what they may do. */
export { type Grant, may, mayAnywhere, nobody, type Resource, type Subject, whole } from './may.ts';
