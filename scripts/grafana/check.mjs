// Holds boards to Grafana's published types: check.mjs NODE_MODULES SCRATCH BOARD.json…
// Prints what the compiler says; ends with 0 if it says nothing.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [modules, scratch, ...boards] = process.argv.slice(2);
mkdirSync(scratch, { recursive: true });
copyFileSync(join(dirname(fileURLToPath(import.meta.url)), 'types.ts'), join(scratch, 'types.ts'));
rmSync(join(scratch, 'node_modules'), { force: true });
symlinkSync(modules, join(scratch, 'node_modules'));

// Each panel by itself, so that what is wrong is told where it is.
const files = boards.map((path) => {
  const { panels, ...rest } = JSON.parse(readFileSync(path, 'utf8'));
  const text = (value) => JSON.stringify(value, null, 1);
  const typed = panels.map((panel, at) => {
    const type = panel.type === 'row' ? 'Panel' : `Extract<Panel, { type: '${panel.type}' }>`;
    return `// ${panel.title}\nconst panel${at}: ${type} = ${text(panel)};`;
  });
  const names = panels.map((_, at) => `panel${at}`);
  const board = `export const board: Board = { ...(${text(rest)} satisfies Omit<Board, 'panels'>), panels: [${names}] };`;
  const file = `${basename(path, '.json')}.ts`;
  writeFileSync(join(scratch, file), ["import type { Board, Panel } from './types';", ...typed, board, ''].join('\n'));
  return file;
});
const compilerOptions = { strict: true, noEmit: true, skipLibCheck: true, module: 'esnext', moduleResolution: 'bundler', target: 'es2022', types: [] };
writeFileSync(join(scratch, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
try {
  execFileSync(process.execPath, [join(modules, 'typescript/bin/tsc'), '-p', scratch], { encoding: 'utf8' });
} catch (error) {
  process.stdout.write(error.stdout || String(error));
  process.exit(1);
}
