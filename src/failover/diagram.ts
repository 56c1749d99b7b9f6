/** The diagram of a pair's states, drawn from the table that drives the machine. */
import { PHASES, TRANSITIONS, TRIGGERS, type Transition, type Trigger } from './transitions.ts';

/** As Mermaid text, without the fence around it; one line for each two states and action. */
export function pairDiagram(): string {
  const lines = ['stateDiagram-v2', '  [*] --> waiting'];
  for (const from of PHASES) {
    const words = new Map<string, string[]>();
    for (const trigger of TRIGGERS) {
      for (const transition of TRANSITIONS[from][trigger] ?? []) {
        const end = `${from} --> ${transition.to}: `;
        const all = words.get(end) ?? [];
        words.set(end, [...all, labelOf(trigger, transition)]);
      }
    }
    for (const [end, labels] of words) lines.push(`  ${end}${labels.join('<br/>')}`);
  }
  return [...lines, '  closed --> [*]', ''].join('\n');
}

function labelOf(trigger: Trigger, { action, modes }: Transition): string {
  const where = modes === undefined ? '' : ` [${modes.join(', ')}]`;
  return action === 'note' ? `${trigger}${where}` : `${trigger}${where} / ${action}`;
}
