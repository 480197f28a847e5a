import { Component, type ReactNode } from 'react';

interface Props {
  /** A new value tries to draw again. */
  attempt: unknown;
  children: ReactNode;
}

interface State {
  message: string | null;
  attempt: unknown;
}

/** A part that cannot be drawn must not take the halt button with it. */
export class Boundary extends Component<Props, State> {
  override state: State = { message: null, attempt: null };

  static getDerivedStateFromError(error: unknown): Partial<State> {
    return { message: error instanceof Error ? error.message : String(error) };
  }

  static getDerivedStateFromProps(props: Props, state: State): Partial<State> | null {
    return props.attempt === state.attempt ? null : { attempt: props.attempt, message: null };
  }

  override render(): ReactNode {
    if (this.state.message === null) return this.props.children;
    return (
      <p role="alert" className="notice">
        This part of the page could not be drawn ({this.state.message}). The figures are at
        /api/v1/snapshot.
      </p>
    );
  }
}
