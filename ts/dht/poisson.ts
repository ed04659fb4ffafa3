/** How likely it is that as many as `least` come where `mean` are expected. */
export function tailOfPoisson(mean: number, least: number): number {
  if (least <= 0) return 1
  if (mean <= 0) return 0
  // Below the mean nothing is unlikely; above it the terms fall from the first one on.
  if (least <= mean) return 1
  // By logarithms: beyond a mean of 745 e^−mean is no longer told from zero, and all would look like lies.
  let logTerm = -mean
  for (let count = 1; count <= least; count += 1) logTerm += Math.log(mean / count)
  let term = Math.exp(logTerm)
  let sum = 0
  for (let count = least; term > sum * 1e-12; count += 1) {
    sum += term
    term *= mean / (count + 1)
  }
  return sum
}
