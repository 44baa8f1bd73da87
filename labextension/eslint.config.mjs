import eslint from '@eslint/js';
import reactHooks from 'eslint-plugin-react-hooks';
import typescript from 'typescript-eslint';

export default typescript.config(
    eslint.configs.recommended,
    ...typescript.configs.strictTypeChecked,
    {
        languageOptions: { parserOptions: { project: ['./tsconfig.json', './test/tsconfig.json'] } },
        plugins: { 'react-hooks': reactHooks },
        rules: {
            'react-hooks/rules-of-hooks': 'error',
            'react-hooks/exhaustive-deps': 'error',
            'no-console': 'error',
            eqeqeq: 'error',
            // A number in a sentence needs no `String(…)` around it.
            '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
            // `signal.connect(this._slot, this)` is how Lumino is written.
            '@typescript-eslint/unbound-method': 'off',
            // `onClick={() => setOpen(true)}` is how React is written.
            '@typescript-eslint/no-confusing-void-expression': 'off'
        }
    },
    {
        // Only this file asks the server.
        files: ['src/**'],
        ignores: ['src/api.ts'],
        rules: { 'no-restricted-globals': ['error', 'fetch', 'XMLHttpRequest', 'WebSocket'] }
    }
);
