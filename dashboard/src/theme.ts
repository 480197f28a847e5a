import { createTheme } from '@mui/material/styles';

/** Calm and dark: colour is kept for what needs an eye. */
export const theme = createTheme({
  palette: {
    mode: 'dark',
    background: { default: '#0b1014', paper: '#121920' },
    primary: { main: '#59c2c9' },
    success: { main: '#5fbf86' },
    warning: { main: '#e3ab4c' },
    error: { main: '#f0595b' },
    text: { primary: '#dbe4ea', secondary: '#8fa1af' },
    divider: '#22303a',
  },
  shape: { borderRadius: 6 },
  typography: {
    fontFamily: 'Inter, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif',
    fontSize: 13,
    button: { textTransform: 'none', fontWeight: 600 },
  },
  components: {
    MuiChip: {
      defaultProps: { size: 'small' },
      styleOverrides: { root: { fontWeight: 600, borderRadius: 5, height: 22 } },
    },
    MuiButtonBase: { defaultProps: { disableRipple: true } },
    MuiPaper: { styleOverrides: { root: { backgroundImage: 'none' } } },
    MuiTab: { styleOverrides: { root: { minHeight: 38, padding: '6px 14px' } } },
    MuiTabs: { styleOverrides: { root: { minHeight: 38 } } },
  },
});
