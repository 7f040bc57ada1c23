import { Command } from 'commander';
import { doctor } from '../doctor/doctor.ts';

export const command = (): Command =>
  new Command('doctor')
    .description(
      'Looks at all of this machine that a lab depends on, and says what is wrong, why, and which command\nhelps. It changes nothing, and needs neither a lab nor a network. As root it sees the most.',
    )
    .option('--json', 'one JSON object a line')
    .option('--report <file>', 'write a .tar.gz for a person who helps, without keys, tokens and passwords')
    .addHelpText('after', '\nExamples:\n  sudo hardway doctor\n  sudo hardway doctor --report report.tar.gz')
    .action(doctor);
