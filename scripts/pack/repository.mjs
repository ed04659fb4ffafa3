// The address of the repository, which no file of the tree carries: a release takes that of the workflow that makes it.

/** The address as a manifest names it, from what GitHub Actions says; throws where it says none. */
export function repositoryUrl({ GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: name }) {
  if (!server || !name) throw new Error('GITHUB_SERVER_URL and GITHUB_REPOSITORY name no repository')
  if (!/^https:\/\/[\w.-]+$/.test(server) || !/^[\w.-]+\/[\w.-]+$/.test(name))
    throw new Error(`${server}/${name} is no address of a repository`)
  return `git+${server}/${name}.git`
}
