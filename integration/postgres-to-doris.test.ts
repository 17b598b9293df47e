import { scenarios } from './scenarios.ts';

scenarios('postgres18');
scenarios('postgres15');
