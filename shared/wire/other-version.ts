/** A release version in the syntax of semver. */
const RELEASE = /^\d+\.\d+\.\d+(?:-[\da-z.-]+)?$/i;

/**
 * Says how to install this version of mnist-dist. The version may come from a peer, and the user
 * will paste the command, so any text that is not a version is left out.
 */
export function updateFix(machine: string, version: string): string {
  const generally = `install the same version of mnist-dist on both machines`;
  if (!RELEASE.test(version)) return generally;
  return (
    `${generally}; on the ${machine}'s: npm install --global mnist-dist@${version}, ` +
    `or in a clone: git checkout v${version}`
  );
}
