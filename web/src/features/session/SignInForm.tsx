import { type FormEvent, useState } from 'react'
import { useSignIn } from '@/api/queries/session'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { TextField } from '@/ui/Field'
import { ProblemNotice } from '@/ui/Notice'
import styles from './SignInForm.module.css'

export function SignInForm({ onSignedIn }: { onSignedIn: () => void }) {
  const [account, setAccount] = useState('')
  const [password, setPassword] = useState('')
  const signIn = useSignIn()
  const submit = (event: FormEvent) => {
    event.preventDefault()
    signIn.mutate({ account: account.trim(), password }, { onSuccess: onSignedIn })
  }
  return (
    <form className={styles.form} onSubmit={submit}>
      <TextField
        label="Account"
        name="account"
        autoComplete="username"
        value={account}
        onChange={setAccount}
        isRequired
        autoFocus
      />
      <TextField
        label="Password"
        name="password"
        type="password"
        autoComplete="current-password"
        value={password}
        onChange={setPassword}
        isRequired
      />
      {signIn.isError && <ProblemNotice problem={asProblem(signIn.error)} />}
      <Button type="submit" variant="primary" busy={signIn.isPending}>
        Sign in
      </Button>
    </form>
  )
}
