// Judge requests by IAM's rules. Reads a JSON list of cases on stdin and writes a JSON list of answers: Allowed, ImplicitlyDenied,
// ExplicitlyDenied, or the error that makes a case no request that AWS knows.
import { runSimulation } from '@cloud-copilot/iam-simulate'

async function judge(one) {
  const found = await runSimulation(
    {
      request: {
        principal: one.principal,
        action: one.action,
        resource: { resource: one.resource, accountId: one.account },
        contextVariables: one.context
      },
      identityPolicies: one.policies.map((policy, number) => ({ name: `policy ${number}`, policy })),
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      resourcePolicy: one.resourcePolicy
    },
    {}
  )
  if (found.resultType === 'error') return `error: ${JSON.stringify(found.errors)}`
  const ignored = found.resultType === 'single' ? found.result.ignoredContextKeys ?? [] : []
  if (ignored.length > 0) return `error: ${one.action} has no ${ignored.join(', ')}`
  return found.overallResult
}

let text = ''
for await (const part of process.stdin) text += part
const answers = []
for (const one of JSON.parse(text)) answers.push(await judge(one))
console.log(JSON.stringify(answers))
