// The user on whose behalf a run is read.

export interface Reader {
  /** The subject of the access token: the owner of the runs that the reader may see. */
  subject: string;
  /** Admins may see every run. */
  isAdmin: boolean;
}
