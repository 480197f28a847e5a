import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

// Nothing may be inlined: the server's policy `default-src 'self'` refuses data: addresses.
export default defineConfig({
  plugins: [react()],
  // One file of about 610 kB: a page that can halt money must not wait for a second one.
  build: { assetsInlineLimit: 0, chunkSizeWarningLimit: 700, target: 'es2022' },
  test: { environment: 'happy-dom', include: ['src/**/*.test.{ts,tsx}'] },
});
